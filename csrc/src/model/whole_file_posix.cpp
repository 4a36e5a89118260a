// WholeFile where there are POSIX calls. Each temporary file is locked by its writer for as long
// as it lives, so that one without a lock belongs to a process that was ended.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

// The Python package uses the same names (_whole_files.py) and removes what is left here, too.
constexpr char kPrefix[] = ".slidecell-";
constexpr std::size_t kDigits = 16;
constexpr int kTries = 100;

[[noreturn]] void fail(const std::string& path, int code) {
  throw IoError(path + ": cannot be written: " + std::strerror(code));
}

std::filesystem::path folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

std::string random_name() {
  std::random_device source;
  std::string name = kPrefix;
  for (std::size_t digit = 0; digit < kDigits; ++digit) name += "0123456789abcdef"[source() % 16];
  return name;
}

bool is_temporary_name(const std::string& name) {
  const std::size_t start = sizeof kPrefix - 1;
  return name.size() == start + kDigits && name.compare(0, start, kPrefix) == 0 &&
         name.find_first_not_of("0123456789abcdef", start) == std::string::npos;
}

// Removes a file of this user that no process has locked; never what a link leads to.
void remove_if_abandoned(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return;
  struct stat found{};
  const bool own = fstat(file, &found) == 0 && S_ISREG(found.st_mode) && found.st_uid == geteuid();
  if (own && flock(file, LOCK_EX | LOCK_NB) == 0) unlink(path.c_str());
  close(file);
}

void remove_abandoned(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  while (!error && entry != std::filesystem::directory_iterator()) {
    if (is_temporary_name(entry->path().filename().string())) {
      remove_if_abandoned(entry->path().string());
    }
    entry.increment(error);
  }
}

// Another writer may take the file for abandoned before it is locked: then it has no name any more.
bool lock(int file) {
  flock(file, LOCK_EX);  // a file system without locks has no removal of others' files either
  struct stat found{};
  return fstat(file, &found) == 0 && found.st_nlink > 0;
}

}  // namespace

WholeFile::WholeFile(std::string path) : path_(std::move(path)) {
  const std::filesystem::path folder = folder_of(path_);
  remove_abandoned(folder);
  for (int tries = 0; file_ == nullptr; ++tries) {
    temporary_ = (folder / random_name()).string();
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const int file = open(temporary_.c_str(), flags, 0666);  // less what the umask takes
    if (file < 0) {
      if (errno != EEXIST || tries == kTries) fail(path_, errno);
    } else if (!lock(file)) {
      close(file);
      if (tries == kTries) fail(path_, ENOENT);
    } else if ((file_ = fdopen(file, "wb")) == nullptr) {
      const int code = errno;
      unlink(temporary_.c_str());
      close(file);
      fail(path_, code);
    }
  }
}

WholeFile::~WholeFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (file_ != nullptr) std::fclose(file_);
}

void WholeFile::add(const void* data, std::size_t bytes) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) fail(path_, errno);
}

void WholeFile::commit() {
  if (std::fflush(file_) != 0 || fsync(fileno(file_)) != 0) fail(path_, errno);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, errno);
  temporary_.clear();
  // The file is in place, whatever comes of this: some file systems cannot bring a folder to disk.
  const int folder = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

}  // namespace slidecell
