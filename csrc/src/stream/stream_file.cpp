// A stream's state as a file or in memory: header, entities, checksum. Native byte order: it goes
// on where it stopped, on the same kind of machine.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cpu/active_kernels.h"
#include "model/fnv.h"
#include "model/whole_file.h"
#include "score/option_rules.h"
#include "slidecell/error.hpp"
#include "stream/stream_impl.h"

namespace slidecell {
namespace {

constexpr char kMagic[16] = "slidecellstream";
constexpr std::uint32_t kCarriedVersion = 3;               // of states that are carried
constexpr std::int64_t kMostRows = std::int64_t{1} << 62;  // no stream sees more

struct Header {
  char magic[16];
  std::uint32_t version;
  std::uint32_t byte_order;  // 1 as this machine writes it
  char isa[16];
  std::uint64_t fingerprint;
  std::int64_t num_entities;
  std::uint8_t precision, reduction, aggregate;
  std::uint8_t mode;  // version 1: 0, exact
  std::uint8_t unused[4];
};

[[noreturn]] void refuse(const std::string& path, const std::string& text) {
  throw std::invalid_argument(path + ": " + text);
}

// A WholeFile's double in memory.
struct Memory {
  std::string bytes;
  void add(const void* data, std::size_t size) {
    if (size > 0) bytes.append(static_cast<const char*>(data), size);
  }
};

// Adds up what it writes to a WholeFile or to Memory.
template <class Target>
class Writer {
 public:
  explicit Writer(Target& target) : target_(target) {}
  void add(const void* data, std::size_t bytes) {
    hash_.add(data, bytes);
    target_.add(data, bytes);
  }
  void finish() {
    const std::uint64_t sum = hash_.value();
    target_.add(&sum, sizeof sum);
  }

 private:
  Target& target_;
  Fnv hash_;
};

// `name` is what errors call the source, `size` its bytes.
class Reader {
 public:
  Reader(std::istream& source, std::string name, std::int64_t size)
      : source_(source), name_(std::move(name)), size_(size) {}
  const std::string& name() const { return name_; }
  std::int64_t size() const { return size_; }
  void read(void* data, std::size_t bytes) {
    source_.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
    if (source_.gcount() != static_cast<std::streamsize>(bytes)) refuse(name_, "truncated");
    hash_.add(data, bytes);
  }
  void check_end() {
    const std::uint64_t expected = hash_.value();
    std::uint64_t sum = 0;
    read(&sum, sizeof sum);
    if (sum != expected) refuse(name_, "checksum: the file was altered");
  }

 private:
  std::istream& source_;
  std::string name_;
  std::int64_t size_;
  Fnv hash_;
};

template <class T>
std::size_t bytes_of(const std::vector<T>& values) {
  return values.size() * sizeof(T);
}

// Writes the state of entities first .. first+count-1, as a stream of them alone has it.
template <class Impl, class Target>
void write_state(Impl& s, std::int64_t first, std::int64_t count, Target& target) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  // Exact streams are as version 0.1 wrote and reads them.
  header.version = carries(s.options.mode) ? kCarriedVersion : 1;
  header.byte_order = 1;
  std::snprintf(header.isa, sizeof header.isa, "%s", s.kernels.isa);
  header.fingerprint = s.model.fingerprint;
  header.num_entities = count;
  header.precision = static_cast<std::uint8_t>(s.options.precision);
  header.reduction = static_cast<std::uint8_t>(s.options.reduction);
  header.aggregate = static_cast<std::uint8_t>(s.options.aggregate);
  header.mode = static_cast<std::uint8_t>(s.options.mode);

  Writer file(target);
  file.add(&header, sizeof header);
  const auto add = [&](const auto& values) {
    const auto each = values.size() / static_cast<std::size_t>(s.num_entities);
    file.add(values.data() + static_cast<std::size_t>(first) * each,
             static_cast<std::size_t>(count) * each * sizeof values[0]);
  };
  add(s.rows_seen);
  add(s.last_missing);
  add(s.ring);
  add(s.predictions);
  add(s.seams);
  add(s.audits);
  std::vector<float> state(static_cast<std::size_t>(s.state_size()));
  for (std::int64_t e = first; e < first + count && !state.empty(); ++e) {
    s.save_state(e, state.data());
    file.add(state.data(), bytes_of(state));
  }
  file.finish();
}

// `Impl` is Stream's, `Model` what it keeps of a SequenceModel.
template <class Impl, class Model>
std::unique_ptr<Impl> read_state(const Model& model, Reader& file) {
  const std::string& path = file.name();
  Header header{};
  file.read(&header, sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.byte_order != 1) {
    refuse(path, "not a stream's state");
  }
  // Version 2 was of carried states before 0.2.0 was finished.
  if (header.version != 1 && header.version != kCarriedVersion) {
    refuse(path, "version: expected 1 or " + std::to_string(kCarriedVersion) + ", got " +
                     std::to_string(header.version));
  }
  if (header.fingerprint != model->parts.fingerprint) {
    refuse(path, "the state of another model");
  }
  header.isa[sizeof header.isa - 1] = '\0';
  const KernelTable& kernels = kernels_named(header.isa);
  if (header.num_entities < 1 || header.precision > static_cast<std::uint8_t>(kLastPrecision) ||
      header.reduction > static_cast<int>(kLastReduction) || header.aggregate > 1 ||
      header.mode != (header.version == kCarriedVersion ? 1 : 0)) {
    refuse(path, "header: damaged");
  }
  // Before anything is allocated by the number of entities.
  const std::int64_t entities_size =
      file.size() - static_cast<std::int64_t>(sizeof header + sizeof(std::uint64_t));
  const auto mode = static_cast<Windows>(header.mode);
  const std::int64_t per_entity = Impl::saved_bytes(model->parts, mode);
  if (header.num_entities > entities_size / per_entity) refuse(path, "truncated");
  if (header.num_entities * per_entity < entities_size) refuse(path, "more data than expected");
  const StreamOptions options{
      static_cast<Precision>(header.precision), static_cast<Reduction>(header.reduction),
      static_cast<Aggregate>(header.aggregate), std::numeric_limits<std::int64_t>::max(), mode};
  auto impl = std::make_unique<Impl>(model, kernels, header.num_entities, options);
  Impl& s = *impl;
  file.read(s.rows_seen.data(), bytes_of(s.rows_seen));
  file.read(s.last_missing.data(), bytes_of(s.last_missing));
  file.read(s.ring.data(), bytes_of(s.ring));
  file.read(s.predictions.data(), bytes_of(s.predictions));
  file.read(s.seams.data(), bytes_of(s.seams));
  file.read(s.audits.data(), bytes_of(s.audits));
  for (std::size_t e = 0; e < s.rows_seen.size(); ++e) {
    if (s.rows_seen[e] < 0 || s.rows_seen[e] > kMostRows || s.last_missing[e] < -1 ||
        s.last_missing[e] >= s.rows_seen[e]) {
      refuse(path, "entities: damaged");
    }
  }
  for (std::size_t e = 0; e < s.audits.size(); ++e) {
    // A block has one seam, the score of the window whose first target row follows the block.
    const std::int64_t seams = s.audits[e].seams;
    const std::int64_t most = (s.rows_seen[e] - s.model.horizon) / s.block_rows;
    if (seams < 0 || seams > std::max<std::int64_t>(most, 0)) refuse(path, "audits: damaged");
  }
  std::vector<float> state(static_cast<std::size_t>(s.state_size()));
  for (std::int64_t e = 0; e < s.num_entities && !state.empty(); ++e) {
    file.read(state.data(), bytes_of(state));
    s.restore_state(e, state.data());
  }
  file.check_end();
  return impl;
}

template <class Impl>
void require_entity(const Impl& s, std::int64_t entity) {
  if (s.knows(entity)) return;
  throw std::invalid_argument("entity: expected 0 to " + std::to_string(s.num_entities - 1) +
                              ", got " + std::to_string(entity));
}

}  // namespace

void Stream::save(const std::string& path) {
  advance();
  WholeFile file(path);
  write_state(*impl_, 0, impl_->num_entities, file);
  file.commit();
}

std::string Stream::saved_bytes() {
  advance();
  Memory memory;
  write_state(*impl_, 0, impl_->num_entities, memory);
  return std::move(memory.bytes);
}

std::string Stream::state_bytes(std::int64_t entity) {
  require_entity(*impl_, entity);
  advance();
  Memory memory;
  write_state(*impl_, entity, 1, memory);
  return std::move(memory.bytes);
}

std::int64_t Stream::state_bytes_size() const noexcept {
  return static_cast<std::int64_t>(sizeof(Header) + sizeof(std::uint64_t)) +
         Impl::saved_bytes(impl_->model, impl_->options.mode);
}

void Stream::restore(std::int64_t entity, const std::string& state) {
  require_entity(*impl_, entity);
  std::istringstream memory(state);
  Reader from(memory, "state", static_cast<std::int64_t>(state.size()));
  const std::unique_ptr<Impl> one = read_state<Impl>(impl_->owner, from);
  if (one->num_entities != 1) {
    refuse("state", "expected the state of 1 entity, got " + std::to_string(one->num_entities));
  }
  if (one->kernels.isa != std::string(impl_->kernels.isa)) {
    refuse("state", std::string("isa: expected the stream's, ") + impl_->kernels.isa + ", got " +
                        one->kernels.isa);
  }
  const StreamOptions &own = impl_->options, &other = one->options;
  const auto expect = [](const char* what, bool same) {
    if (!same) refuse("state", std::string(what) + ": expected the stream's, got another one");
  };
  expect("precision", own.precision == other.precision);
  expect("reduction", own.reduction == other.reduction);
  expect("aggregate", own.aggregate == other.aggregate);
  expect("mode", own.mode == other.mode);
  advance();
  impl_->take(*one, entity);
}

Stream Stream::load(const SequenceModel& model, const std::string& path) {
  // Asked first: opening a named pipe waits for who writes to it.
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw IoError(path + ": cannot be read: not a regular file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(path + ": cannot be read: " + std::strerror(errno));
  Reader from(file, path, static_cast<std::int64_t>(std::filesystem::file_size(path)));
  return Stream(read_state<Impl>(model.impl_, from));
}

Stream Stream::from_saved_bytes(const SequenceModel& model, const std::string& saved) {
  std::istringstream memory(saved);
  Reader from(memory, "saved", static_cast<std::int64_t>(saved.size()));
  return Stream(read_state<Impl>(model.impl_, from));
}

}  // namespace slidecell
