// A file that appears whole or not at all: written under a random name in the target's folder,
// then renamed. A symbolic link at the target is replaced; what it leads to stays as it was.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace slidecell {

class WholeFile {
 public:
  // Makes the temporary file, which was not there before, and removes those that ended processes
  // have left in the folder. Throws IoError, as add and commit do; the text begins with the path.
  explicit WholeFile(std::string path);
  // Removes the temporary file, unless commit() has given it the target's name.
  ~WholeFile();
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;

  void add(const void* data, std::size_t bytes);  // data may be null where bytes is 0
  // Brings the content to the disk, then the file to its place: a machine that stops at any moment
  // has the old file or the new one.
  void commit();

 private:
  std::string path_, temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace slidecell
