// A file without a disk: its path is good for whatever opens, reads and measures a regular file.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace slidecell::fuzz {

class MemoryFile {
 public:
  MemoryFile() : file_(memfd_create("slidecell", MFD_CLOEXEC)) {
    if (file_ < 0) fail("memfd_create");
    path_ = "/proc/self/fd/" + std::to_string(file_);
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::string& path() const { return path_; }
  void set(const std::uint8_t* data, std::size_t size) {
    if (ftruncate(file_, 0) != 0) fail("ftruncate");
    if (pwrite(file_, data, size, 0) != static_cast<ssize_t>(size)) fail("pwrite");
  }

 private:
  [[noreturn]] static void fail(const char* call) {
    std::perror(call);
    std::exit(2);
  }
  int file_;
  std::string path_;
};

// A new folder in memory where there is one; it is removed with what is in it when the run ends.
inline const std::string& scratch_folder() {
  static const std::string folder = [] {
    std::string name = access("/dev/shm", W_OK) == 0 ? "/dev/shm/slidecell-fuzz-XXXXXX"
                                                     : "/tmp/slidecell-fuzz-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      std::perror("mkdtemp");
      std::exit(2);
    }
    static std::string kept;
    kept = name;
    std::atexit([] {
      std::string command = "rm -rf " + kept;
      if (std::system(command.c_str()) != 0) std::perror("rm");
    });
    return name;
  }();
  return folder;
}

}  // namespace slidecell::fuzz
