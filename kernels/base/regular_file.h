#pragma once

// Opening files that must be regular ones: a pipe in their place makes nobody wait, a device is not
// read for ever.

#include <cstdint>
#include <string>

namespace treeformer {

// A descriptor for reading, which the caller closes.  Throws UserError "PATH cannot be read: ..."
// with the reason, or with what PATH is instead of a file.
int OpenRegularFile(const std::string& path);

// All of it.  UserError too where it has more than `most_bytes`.
std::string ReadRegularFile(const std::string& path, int64_t most_bytes = int64_t{1} << 30);

// What an existing `path` that is no regular file is: "a folder", "a pipe", "a device", ...; empty
// for a regular file, and where there is nothing.
std::string KindOfSpecialFile(const std::string& path);

}  // namespace treeformer
