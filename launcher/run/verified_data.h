#pragma once

// Token files are read whole, to verify them, once: rank 0 reads them and RUN/data/verified.txt
// remembers it for later starts.

#include <string>
#include <vector>

#include "datasets/token_file_record.h"
#include "datasets/vocabulary.h"
#include "dist/communicator.h"

namespace treeformer {

// The file that says what is known of a run's token files.
std::string VerifiedDataFile(const std::string& run_directory);

// "0.012 %": the share of its tokens that are [UNK].
std::string UnknownShare(const datasets::TokenFileRecord& file);

// What is known of `paths`, in their order, after rank 0 has read whole those that `record` does
// not know; the other ranks need not, where their files are the very same.  Rank 0 writes `record`
// if it `remembers`.  Collective.
datasets::TokenFileRecords VerifyTokenFiles(dist::Communicator& communicator,
                                            const std::vector<std::string>& paths,
                                            const datasets::Vocabulary& vocabulary,
                                            const std::string& record, bool remembers);

}  // namespace treeformer
