// A stream's state as a file: header, entities, checksum. Native byte order: it goes on where it
// stopped, on the same kind of machine.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cpu/active_kernels.h"
#include "model/fnv.h"
#include "model/whole_file.h"
#include "slidecell/error.hpp"
#include "stream/stream_impl.h"

namespace slidecell {
namespace {

constexpr char kMagic[16] = "slidecellstream";
constexpr std::int64_t kMostRows = std::int64_t{1} << 62;  // no stream sees more

struct Header {
  char magic[16];
  std::uint32_t version;
  std::uint32_t byte_order;  // 1 as this machine writes it
  char isa[16];
  std::uint64_t fingerprint;
  std::int64_t num_entities;
  std::uint8_t precision, reduction, aggregate, unused[5];
};

[[noreturn]] void refuse(const std::string& path, const std::string& text) {
  throw std::invalid_argument(path + ": " + text);
}

// Adds up what it writes.
class Writer {
 public:
  explicit Writer(const std::string& path) : file_(path) {}
  void add(const void* data, std::size_t bytes) {
    hash_.add(data, bytes);
    file_.add(data, bytes);
  }
  void finish() {
    const std::uint64_t sum = hash_.value();
    file_.add(&sum, sizeof sum);
    file_.commit();
  }

 private:
  WholeFile file_;
  Fnv hash_;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), file_(path, std::ios::binary) {
    if (!file_ || !std::filesystem::is_regular_file(path)) {
      throw IoError(path + ": cannot be read: " + std::strerror(file_ ? EINVAL : errno));
    }
  }
  void read(void* data, std::size_t bytes) {
    file_.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
    if (file_.gcount() != static_cast<std::streamsize>(bytes)) refuse(path_, "truncated");
    hash_.add(data, bytes);
  }
  void check_end() {
    const std::uint64_t expected = hash_.value();
    std::uint64_t sum = 0;
    read(&sum, sizeof sum);
    if (sum != expected) refuse(path_, "checksum: the file was altered");
  }

 private:
  std::string path_;
  std::ifstream file_;
  Fnv hash_;
};

template <class T>
std::size_t bytes_of(const std::vector<T>& values) {
  return values.size() * sizeof(T);
}

}  // namespace

void Stream::save(const std::string& path) {
  advance();
  Impl& s = *impl_;
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = 1;
  header.byte_order = 1;
  std::snprintf(header.isa, sizeof header.isa, "%s", s.kernels.isa);
  header.fingerprint = s.model.fingerprint;
  header.num_entities = s.num_entities;
  header.precision = static_cast<std::uint8_t>(s.options.precision);
  header.reduction = static_cast<std::uint8_t>(s.options.reduction);
  header.aggregate = static_cast<std::uint8_t>(s.options.aggregate);

  Writer file(path);
  file.add(&header, sizeof header);
  file.add(s.rows_seen.data(), bytes_of(s.rows_seen));
  file.add(s.last_missing.data(), bytes_of(s.last_missing));
  file.add(s.ring.data(), bytes_of(s.ring));
  file.add(s.predictions.data(), bytes_of(s.predictions));
  std::vector<float> state(static_cast<std::size_t>(s.state_size()));
  for (std::int64_t e = 0; e < s.num_entities && !state.empty(); ++e) {
    s.save_state(e, state.data());
    file.add(state.data(), bytes_of(state));
  }
  file.finish();
}

Stream Stream::load(const SequenceModel& model, const std::string& path) {
  Reader file(path);
  Header header{};
  file.read(&header, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.byte_order != 1) {
    refuse(path, "not a stream's state");
  }
  if (header.version != 1) {
    refuse(path, "version: expected 1, got " + std::to_string(header.version));
  }
  if (header.fingerprint != model.impl_->parts.fingerprint) {
    refuse(path, "the state of another model");
  }
  header.isa[sizeof header.isa - 1] = '\0';
  const KernelTable& kernels = kernels_named(header.isa);
  if (header.num_entities < 1 || header.precision > 2 || header.reduction > 2 ||
      header.aggregate > 1) {
    refuse(path, "header: damaged");
  }
  // Before anything is allocated by the number of entities.
  const std::int64_t entities_size =
      static_cast<std::int64_t>(std::filesystem::file_size(path)) -
      static_cast<std::int64_t>(sizeof header + sizeof(std::uint64_t));
  const std::int64_t per_entity = Impl::saved_bytes(model.impl_->parts);
  if (header.num_entities > entities_size / per_entity) refuse(path, "truncated");
  if (header.num_entities * per_entity < entities_size) refuse(path, "more data than expected");
  const StreamOptions options{static_cast<Precision>(header.precision),
                              static_cast<Reduction>(header.reduction),
                              static_cast<Aggregate>(header.aggregate)};
  auto impl = std::make_unique<Impl>(model.impl_, kernels, header.num_entities, options);
  Impl& s = *impl;
  file.read(s.rows_seen.data(), bytes_of(s.rows_seen));
  file.read(s.last_missing.data(), bytes_of(s.last_missing));
  file.read(s.ring.data(), bytes_of(s.ring));
  file.read(s.predictions.data(), bytes_of(s.predictions));
  for (std::size_t e = 0; e < s.rows_seen.size(); ++e) {
    if (s.rows_seen[e] < 0 || s.rows_seen[e] > kMostRows || s.last_missing[e] < -1 ||
        s.last_missing[e] >= s.rows_seen[e]) {
      refuse(path, "entities: damaged");
    }
  }
  std::vector<float> state(static_cast<std::size_t>(s.state_size()));
  for (std::int64_t e = 0; e < s.num_entities && !state.empty(); ++e) {
    file.read(state.data(), bytes_of(state));
    s.restore_state(e, state.data());
  }
  file.check_end();
  return Stream(std::move(impl));
}

}  // namespace slidecell
