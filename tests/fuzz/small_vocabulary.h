#pragma once

// A vocabulary for targets: pieces of one to several bytes, some that begin others.

#include "datasets/vocabulary.h"

namespace treeformer {

inline const datasets::Vocabulary& SmallVocabulary() {
  static const datasets::Vocabulary vocabulary(
      {"[PAD]",  "[UNK]",    "[CLS]",    "[SEP]",  "[MASK]", "the", "quick",    "a",
       "b",      "c",        "##a",      "##b",    "##c",    "ab",  "abc",      "##bc",
       "s",      "##s",      ".",        ",",      "[",      "]",   "'",        "0",
       "1",      "##0",      "##1",      "e",      "##e",    "z",   "\u00e9",   "##\u00e9",
       "\u03c3", "##\u03c3", "##\u03c2", "\u4e00", "\u4e8c", "i",   "##\u0301", "\u00df",
       "un",     "##able",   "##\u0130"},
      "small vocabulary");
  return vocabulary;
}

}  // namespace treeformer
