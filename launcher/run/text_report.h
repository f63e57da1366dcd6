#pragma once

// What a command says of the text that it has read.

#include <string>

#include "datasets/documents.h"
#include "datasets/prepare.h"
#include "launcher/report/progress.h"

namespace treeformer {

// A bar of the bytes on disk; those of pipes have no end that is known.
datasets::PrepareProgress ShowBytes(Progress& progress, const std::string& what = "");

// Sequences replaced, bad documents skipped and the first of them, files left out: a line for
// each, none where there is nothing to tell.
void PrintTextReport(const datasets::TextReport& report, Progress& progress);

}  // namespace treeformer
