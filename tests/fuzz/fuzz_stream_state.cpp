// Saved states of streams: what is accepted goes on, and saves what it was loaded from. An input is
// one byte, the number of its model, and the file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "counts.h"
#include "libfuzzer.h"
#include "memory_file.h"
#include "model/fnv.h"
#include "random.h"
#include "slidecell/error.hpp"
#include "slidecell/stream.hpp"
#include "small_models.h"

namespace {

using namespace slidecell::fuzz;
using slidecell::SequenceModel;
using slidecell::Status;
using slidecell::Stream;

constexpr std::size_t kModels = 12;
constexpr std::size_t kSumBytes = sizeof(std::uint64_t);

// The header as Stream::save writes it.
struct Header {
  char magic[16];
  std::uint32_t version, byte_order;
  char isa[16];
  std::uint64_t fingerprint;
  std::int64_t num_entities;
  std::uint8_t precision, reduction, aggregate, mode, unused[4];
};

const SequenceModel& model(std::size_t number) {
  static std::vector<std::unique_ptr<SequenceModel>>& models = *[] {
    auto* made = new std::vector<std::unique_ptr<SequenceModel>>;
    for (std::uint32_t i = 0; i < kModels; ++i) {
      const slidecell::ModelFile file = small_file(100 + i);
      made->push_back(std::make_unique<SequenceModel>(file.metadata, file.tensors));
    }
    return made;
  }();
  return *models[number % kModels];
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Rows of a few numbers; some are missing.
void push_rows(Stream& stream, std::size_t rows, Random& random) {
  std::vector<float> row(static_cast<std::size_t>(stream.input_size()));
  for (std::size_t i = 0; i < rows; ++i) {
    for (float& value : row) value = 0.125f * static_cast<float>(random.below(17)) - 1;
    if (random.one_in(8)) row[0] = std::numeric_limits<float>::infinity();
    const auto entity =
        static_cast<std::int64_t>(random.below(static_cast<std::size_t>(stream.num_entities())));
    float score = 0;
    if (stream.push(entity, row.data(), score) != Status::ok) std::abort();
    if (random.one_in(16)) stream.advance();
    if (random.one_in(32) && stream.reset(entity) != Status::ok) std::abort();
  }
}

// What a wider stream goes on with is what it was: at the highest precision the same rows bring the
// same scores to both.
void require_same_when_wider(const SequenceModel& model, Stream& stream, bool highest,
                             Random& random) {
  Stream wider = Stream::from_saved_bytes(model, stream.saved_bytes());
  wider.resize(stream.num_entities() + static_cast<std::int64_t>(random.below(36)));
  const std::vector<float> rows(static_cast<std::size_t>(2 * stream.input_size()), 0.375f);
  const std::vector<std::int64_t> entities(2, stream.num_entities() - 1);
  std::vector<float> one(2), other(2);
  const slidecell::SeriesView view(rows.data(), 2, stream.input_size());
  stream.push_many(entities, view, one.data(), 1);
  wider.push_many(entities, view, other.data(), 1);
  if (highest && !slidecell::test::same(one, other)) std::abort();
  for (const std::int64_t few : {std::int64_t{1}, std::int64_t{2}}) {
    const std::vector<std::int64_t> wrong(static_cast<std::size_t>(few), wider.num_entities());
    try {
      wider.push_many(wrong, view, other.data(), 1);
      std::abort();
    } catch (const std::invalid_argument&) {
    }
  }
  float score = 0;
  for (const Status status : {wider.push(wider.num_entities(), rows.data(), score),
                              wider.push(0, static_cast<const float*>(nullptr), score)}) {
    if (status == Status::ok || slidecell::status_text(status)[0] == '\0') std::abort();
  }
  const std::size_t names = wider.features().size();
  if (names != 0 && names != static_cast<std::size_t>(wider.input_size())) std::abort();
  stream = std::move(wider);
}

std::string saved(Stream& stream) {
  const std::string path = scratch_folder() + "/state";
  stream.save(path);
  return file_text(path);
}

std::string fresh(std::size_t number, Random& random) {
  slidecell::StreamOptions options;
  options.reduction = static_cast<slidecell::Reduction>(random.below(2));
  options.precision = static_cast<slidecell::Precision>(random.below(4));
  options.aggregate = static_cast<slidecell::Aggregate>(random.below(2));
  options.mode = static_cast<slidecell::Windows>(random.one_in(3));
  const std::int64_t entities =
      random.one_in(6) ? 33 : static_cast<std::int64_t>(1 + random.below(4));
  try {
    Stream stream(model(number), entities, options);
    push_rows(stream, random.below(40), random);
    return saved(stream);
  } catch (const std::invalid_argument&) {        // "last" of a forecaster
  } catch (const slidecell::UnsupportedError&) {  // an autoencoder's states are not carried
  }
  Stream stream(model(number), entities);
  return saved(stream);
}

// The sum that the file ends with, made right.
void sum_up(std::string& file) {
  if (file.size() < kSumBytes) return;
  slidecell::Fnv hash;
  hash.add(file.data(), file.size() - kSumBytes);
  const std::uint64_t sum = hash.value();
  std::memcpy(file.data() + file.size() - kSumBytes, &sum, sizeof sum);
}

void change_header(Header& header, Random& random) {
  static const std::vector<std::string> isas = {"scalar", "avx2", "avx512", "amx",
                                                "neon",   "",     "sse"};
  switch (random.below(8)) {
    case 0:
      header.magic[random.below(sizeof header.magic)] ^= 1;
      break;
    case 1:
      (random.one_in(2) ? header.version : header.byte_order) =
          static_cast<std::uint32_t>(random.of(odd_integers()));
      break;
    case 2:
    case 3:
      std::memset(header.isa, 0, sizeof header.isa);
      random.of(isas).copy(header.isa, sizeof header.isa);
      if (random.one_in(8)) std::memset(header.isa, 'a', sizeof header.isa);
      break;
    case 4:
      header.fingerprint ^= random.bits();
      break;
    case 5:
      header.num_entities = random.of(odd_integers());
      break;
    case 6:
      header.precision = static_cast<std::uint8_t>(random.below(5));
      header.reduction = static_cast<std::uint8_t>(random.below(4));
      break;
    default:
      header.aggregate = static_cast<std::uint8_t>(random.below(3));
      (random.one_in(2) ? header.mode : header.unused[random.below(4)]) =
          static_cast<std::uint8_t>(random.below(3));
  }
}

// Numbers of an entity: rows, the last missing row, floats.
void change_body(std::string& file, Random& random) {
  const std::size_t body = file.size() - sizeof(Header) - kSumBytes;
  for (std::size_t i = 1 + random.below(3); i-- > 0 && body >= sizeof(std::int64_t);) {
    std::int64_t entities = 0;
    std::memcpy(&entities, file.data() + offsetof(Header, num_entities), sizeof entities);
    const auto counted =
        static_cast<std::size_t>(std::max<std::int64_t>(1, std::min<std::int64_t>(entities, 64)));
    const std::size_t at = random.one_in(2) ? random.below(2 * counted) * sizeof(std::int64_t)
                                            : random.below(body / 4) * 4;
    if (at + sizeof(std::int64_t) > body) continue;
    char* const place = file.data() + sizeof(Header) + at;
    std::int64_t number = random.of(odd_integers());
    if (random.one_in(2)) {
      std::memcpy(&number, place, sizeof number);
      number = static_cast<std::int64_t>(static_cast<std::uint64_t>(number) + random.below(7) - 3);
    }
    if (random.one_in(3)) {
      const auto real = static_cast<float>(std::min(3e38, random.of(odd_reals())));
      std::memcpy(place, &real, sizeof real);
    } else {
      std::memcpy(place, &number, sizeof number);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static MemoryFile& memory = *new MemoryFile;
  if (size == 0) return 0;
  ++counts().inputs;
  memory.set(data + 1, size - 1);
  bool accepted = false;
  try {
    Stream stream = Stream::load(model(data[0]), memory.path());
    ++counts().accepted;
    accepted = true;
    slidecell::Fnv hash;
    hash.add(data, size);
    Random random(hash.value());
    const std::string again = stream.saved_bytes();
    Stream twin = Stream::from_saved_bytes(model(data[0]), again);
    if (twin.saved_bytes() != again) std::abort();
    // To save to a file is dear beside all else.
    if (random.one_in(64) && saved(twin) != again) std::abort();
    push_rows(stream, 6, random);
    const std::int64_t rows = std::max<std::int64_t>(1, model(data[0]).horizon());
    std::vector<float> next(static_cast<std::size_t>(rows * model(data[0]).num_targets()));
    stream.predict_next(0, next.data());
    // Rows counted up to the most that a file may hold have gone beyond it by now.
    bool savable = true;
    for (std::int64_t e = 0; e < stream.num_entities(); ++e) {
      if (stream.rows_seen(e) < 0) std::abort();
      savable = savable && stream.rows_seen(e) <= std::int64_t{1} << 62;
    }
    const bool highest = data[1 + offsetof(Header, precision)] == 0;
    if (savable && random.one_in(16))
      require_same_when_wider(model(data[0]), stream, highest, random);
    ++counts().ran;
    ++counts().past_header;
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    if (accepted) std::fprintf(stderr, "refused after it was accepted: %s\n", text.c_str());
    if (accepted || text.empty()) std::abort();
    // What is refused for its body has a header that was accepted.
    for (const char* later :
         {"entities: damaged", "audits: damaged", "checksum", "truncated", "more data"}) {
      if (size > sizeof(Header) && text.find(later) != std::string::npos) {
        ++counts().past_header;
        break;
      }
    }
  } catch (const slidecell::UnsupportedError&) {
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned int seed) {
  Random random(seed);
  const std::size_t what = random.below(20);
  if (size <= sizeof(Header) + kSumBytes + 1 || what == 0) {
    const auto number = static_cast<std::uint8_t>(random.below(kModels));
    return copied(static_cast<char>(number) + fresh(number, random), data, most);
  }
  if (what == 1) return LLVMFuzzerMutate(data, size, most);
  std::string file(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (what == 2) {
    file = byte_mutated(file, most - 1);
  } else if (what == 3) {
    data[0] = static_cast<std::uint8_t>(random.below(kModels));
  } else if (what == 4) {
    file.resize(random.below(file.size()));
  } else if (what < 10) {
    Header header;
    std::memcpy(&header, file.data(), sizeof header);
    change_header(header, random);
    std::memcpy(file.data(), &header, sizeof header);
  } else {
    change_body(file, random);
  }
  if (!random.one_in(12)) sum_up(file);
  return 1 + copied(file, data + 1, most - 1);
}

// Entities of one file in another of the same model.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                                 const std::uint8_t* two, std::size_t two_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned int seed) {
  Random random(seed);
  std::string file(reinterpret_cast<const char*>(one), one_size);
  const std::size_t from = 1 + sizeof(Header), end = std::min(one_size, two_size);
  if (end > from + kSumBytes) {
    const std::size_t at = from + random.below(end - from - kSumBytes);
    const std::size_t bytes = 1 + random.below(end - kSumBytes - at);
    file.replace(at, bytes, reinterpret_cast<const char*>(two) + at, bytes);
  }
  if (file.empty()) return 0;
  std::string state = file.substr(1);
  sum_up(state);
  out[0] = static_cast<std::uint8_t>(file[0]);
  return 1 + copied(state, out + 1, most - 1);
}
