// Files that appear whole or not at all: ended writers, links, competing writers, refusals.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "model/whole_file.h"
#include "slidecell/error.hpp"
#include "test.h"

namespace fs = std::filesystem;
using slidecell::IoError;
using slidecell::WholeFile;

namespace {

// A folder that is removed at the end of the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "slidecell_test_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(path_)) {
      found.insert(entry.path().filename().string());
    }
    return found;
  }

 private:
  fs::path path_;
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, const std::string& text) {
  WholeFile file(path);
  file.add(text.data(), text.size());
  file.commit();
}

// Runs in a process that is killed at its end, as by a power cut: no destructor, no flush.
template <class Work>
void in_killed_process(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    std::raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void test_killed_writers_leave_the_old_file() {
  const std::string large(1 << 20, 'x');
  for (int point = 0; point < 4; ++point) {
    const Folder folder;
    const std::string path = folder.file("state");
    write(path, "old");
    in_killed_process([&] {
      WholeFile file(path);
      if (point >= 1) file.add("n", 1);
      if (point >= 2) file.add(large.data(), large.size());
      if (point == 3) file.commit();
      std::raise(SIGKILL);
    });
    CHECK(content(path) == (point == 3 ? "n" + large : "old"));
    CHECK(folder.names().size() == (point == 3 ? 1u : 2u));
    write(path, "next");
    CHECK(content(path) == "next");
    CHECK(folder.names() == std::set<std::string>{"state"});
  }
}

void test_links_are_replaced_and_never_followed() {
  const Folder folder;
  std::ofstream(folder.file("victim")) << "precious";
  fs::create_symlink("victim", folder.file("state"));
  fs::create_symlink("victim", folder.file("state.partial"));
  // A link with the name of a temporary file is nobody's abandoned file.
  fs::create_symlink("victim", folder.file(".slidecell-0123456789abcdef"));
  write(folder.file("state"), "new");
  CHECK(content(folder.file("victim")) == "precious");
  CHECK(!fs::is_symlink(folder.file("state")) && content(folder.file("state")) == "new");
  CHECK(fs::is_symlink(folder.file(".slidecell-0123456789abcdef")));
}

void test_writers_of_one_path_do_not_meet() {
  const Folder folder;
  const std::string path = folder.file("state");
  WholeFile first(path), second(path);
  first.add("first", 5);
  second.add("second", 6);
  second.commit();
  CHECK(content(path) == "second");
  first.commit();
  CHECK(content(path) == "first");
  CHECK(folder.names() == std::set<std::string>{"state"});
}

void test_what_cannot_be_written() {
  const Folder folder;
  CHECK_THROWS(WholeFile(folder.file("no/state")), IoError, "state: cannot be written: No such");
  fs::create_directory(folder.file("taken"));
  CHECK_THROWS(write(folder.file("taken"), "x"), IoError, "taken: cannot be written: ");
  CHECK(folder.names() == std::set<std::string>{"taken"});
}

void test_a_full_disk_leaves_the_old_file() {
  const Folder folder;
  const std::string path = folder.file("state");
  write(path, "old");
  const std::string large(1 << 20, 'x');
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 16, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS(write(path, large), IoError, "state: cannot be written: File too large");
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(content(path) == "old");
  CHECK(folder.names() == std::set<std::string>{"state"});
}

void test_the_umask_decides_who_may_read() {
  const Folder folder;
  const mode_t before = umask(027);
  write(folder.file("state"), "x");
  umask(before);
  CHECK((fs::status(folder.file("state")).permissions() & fs::perms::all) == fs::perms(0640));
}

}  // namespace

int main() {
  test_killed_writers_leave_the_old_file();
  test_links_are_replaced_and_never_followed();
  test_writers_of_one_path_do_not_meet();
  test_what_cannot_be_written();
  test_a_full_disk_leaves_the_old_file();
  test_the_umask_decides_who_may_read();
  return slidecell::test::result();
}
