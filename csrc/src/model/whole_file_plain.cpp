// WholeFile with no more than standard C++: a new file beside the target, then renamed. What a
// process leaves that is ended meanwhile stays, and the system decides when it is on the disk.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <system_error>
#include <utility>

#include "model/whole_file.h"
#include "slidecell/error.hpp"

namespace slidecell {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw IoError(path + ": cannot be written: " + reason);
}

}  // namespace

WholeFile::WholeFile(std::string path) : path_(std::move(path)) {
  std::random_device source;
  temporary_ = path_ + "." + std::to_string(source()) + std::to_string(source()) + ".partial";
  file_ = std::fopen(temporary_.c_str(), "wbx");  // x: a file that is there is an error
  if (file_ == nullptr) fail(path_, std::strerror(errno));
}

WholeFile::~WholeFile() {
  if (file_ != nullptr) std::fclose(file_);
  std::error_code error;
  if (!temporary_.empty()) std::filesystem::remove(temporary_, error);
}

void WholeFile::add(const void* data, std::size_t bytes) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) fail(path_, std::strerror(errno));
}

void WholeFile::commit() {
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;  // an open one has no rename
  if (!closed) fail(path_, std::strerror(errno));
  std::error_code error;
  std::filesystem::rename(temporary_, path_, error);
  if (error) fail(path_, error.message());
  temporary_.clear();
}

}  // namespace slidecell
