// Reads safetensors: 8 bytes of header length (little-endian), a JSON header, then the tensors'
// bytes. The file may come from anywhere, so nothing in it is believed: every number is checked
// against the file's size before it is used as an address or an amount of memory.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/json.h"
#include "slidecell/error.hpp"
#include "slidecell/model.hpp"

namespace slidecell {
namespace {

constexpr std::int64_t kLengthBytes = 8;
constexpr std::int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::int64_t kFloatBytes = 4;

// Where a tensor's bytes lie, counted from the end of the header.
struct Entry {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0, end = 0;
};

[[noreturn]] void refuse(const std::string& place, const std::string& problem) {
  throw std::invalid_argument(place + ": " + problem);
}

std::string tensor_place(const std::string& path, const std::string& name) {
  return path + ": tensor '" + name + "'";
}

// A regular file and its size. Pipes, devices and folders have none that could be checked against.
class Input {
 public:
  explicit Input(const std::string& path) : path_(path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (std::filesystem::is_directory(status)) throw IoError(path + ": is a directory");
    if (status.type() == std::filesystem::file_type::not_found) {
      throw IoError(path + ": no such file");
    }
    if (!error && !std::filesystem::is_regular_file(status)) {
      throw IoError(path + ": not a regular file");
    }
    size_ = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
    if (error) throw IoError(path + ": cannot be read: " + error.message());
    errno = 0;
    stream_.open(path, std::ios::binary);
    if (!stream_) throw IoError(path + ": cannot be opened: " + std::strerror(errno));
  }

  std::int64_t size() const { return size_; }

  void read(std::int64_t at, char* out, std::int64_t bytes) {
    if (!stream_.seekg(at) || !stream_.read(out, bytes)) {
      throw IoError(path_ + ": cannot read " + std::to_string(bytes) + " bytes at byte " +
                    std::to_string(at));
    }
  }

 private:
  std::string path_;
  std::ifstream stream_;
  std::int64_t size_ = 0;
};

std::string read_header(Input& input, const std::string& path) {
  if (input.size() < kLengthBytes) {
    refuse(path, "expected a safetensors file, got " + std::to_string(input.size()) + " bytes");
  }
  std::array<unsigned char, kLengthBytes> bytes;
  input.read(0, reinterpret_cast<char*>(bytes.data()), kLengthBytes);
  std::uint64_t length = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) length = (length << 8) | bytes[i];
  const std::int64_t limit = std::min(kMaxHeaderBytes, input.size() - kLengthBytes);
  if (length > static_cast<std::uint64_t>(limit)) {
    refuse(path + ": header", "expected at most " + std::to_string(limit) +
                                  " bytes (the file has " + std::to_string(input.size()) +
                                  "), got the length " + std::to_string(length));
  }
  std::string header(static_cast<std::size_t>(length), '\0');
  input.read(kLengthBytes, header.data(), static_cast<std::int64_t>(length));
  if (header.empty() || header[0] != '{') refuse(path + ": header", "expected a JSON object");
  return header;
}

Json parse_header(const std::string& header, const std::string& path) {
  try {
    return Json::parse(header);
  } catch (const std::invalid_argument& e) {
    refuse(path + ": header", e.what());
  }
}

// The text under "slidecell"; the format allows strings only.
std::string read_metadata(const Json& header, const std::string& path) {
  const std::string place = path + ": __metadata__";
  const Json* metadata = header.find("__metadata__");
  if (metadata == nullptr) refuse(place, "missing: this is not a slidecell model");
  if (metadata->object() == nullptr) refuse(place, "expected an object");
  for (const auto& [key, value] : *metadata->object()) {
    if (value.string() == nullptr) refuse(place, "'" + key + "': expected a string");
  }
  const Json* text = metadata->find("slidecell");
  if (text == nullptr) refuse(place, "no 'slidecell' key: this is not a slidecell model");
  return *text->string();
}

// Non-negative integers, or nothing.
std::optional<std::vector<std::int64_t>> counts(const Json* json) {
  if (json == nullptr || json->array() == nullptr) return std::nullopt;
  std::vector<std::int64_t> values;
  for (const Json& item : *json->array()) {
    const auto value = item.integer();
    if (!value || *value < 0) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

// shape's product in bytes, or nothing where it exceeds `limit`. A zero makes any shape empty.
std::optional<std::int64_t> byte_size(const std::vector<std::int64_t>& shape, std::int64_t limit) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t bytes = kFloatBytes;
  for (const std::int64_t extent : shape) {
    if (extent > limit / bytes) return std::nullopt;
    bytes *= extent;
  }
  return bytes;
}

Entry read_entry(const std::string& name, const Json& json, std::int64_t data_bytes,
                 const std::string& path) {
  const std::string place = tensor_place(path, name);
  if (json.object() == nullptr) refuse(place, "expected an object");
  const Json* dtype = json.find("dtype");
  if (dtype == nullptr || dtype->string() == nullptr) refuse(place, "dtype: expected a string");
  if (*dtype->string() != "F32") refuse(place, "dtype: expected F32, got " + *dtype->string());
  auto shape = counts(json.find("shape"));
  if (!shape) refuse(place, "shape: expected integers >= 0");
  const auto range = counts(json.find("data_offsets"));
  if (!range || range->size() != 2) refuse(place, "data_offsets: expected two integers >= 0");
  const std::int64_t begin = range->front(), end = range->back();
  const std::string got = "[" + std::to_string(begin) + ", " + std::to_string(end) + "]";
  if (begin > end || end > data_bytes) {
    refuse(place, "data_offsets: expected a range within the file's " + std::to_string(data_bytes) +
                      " bytes of data, got " + got);
  }
  const auto bytes = byte_size(*shape, data_bytes);
  if (!bytes || *bytes != end - begin) {
    refuse(place, "shape: does not fill the " + std::to_string(end - begin) +
                      " bytes of data_offsets " + got);
  }
  return Entry{name, std::move(*shape), begin, end};
}

// In the order of their bytes, each beginning where the one before it ends.
std::vector<Entry> read_entries(const Json& header, std::int64_t data_bytes,
                                const std::string& path) {
  std::vector<Entry> entries;
  for (const auto& [name, json] : *header.object()) {
    if (name != "__metadata__") entries.push_back(read_entry(name, json, data_bytes, path));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::make_pair(a.begin, a.end) < std::make_pair(b.begin, b.end);
  });
  std::int64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected) {
      refuse(tensor_place(path, entry.name),
             "data_offsets: " + std::string(entry.begin < expected ? "overlaps" : "leaves a hole") +
                 ": expected to begin at " + std::to_string(expected) + ", got " +
                 std::to_string(entry.begin));
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    refuse(path, "tensors end at byte " + std::to_string(expected) + " of " +
                     std::to_string(data_bytes) + " bytes of data");
  }
  return entries;
}

}  // namespace

ModelFile read_model_file(const std::string& path) {
  Input input(path);
  const std::string text = read_header(input, path);
  const Json header = parse_header(text, path);
  const std::int64_t data_at = kLengthBytes + static_cast<std::int64_t>(text.size());

  ModelFile file;
  file.metadata = read_metadata(header, path);
  for (Entry& entry : read_entries(header, input.size() - data_at, path)) {
    Tensor& tensor = file.tensors[entry.name];
    tensor.shape = std::move(entry.shape);
    tensor.data.resize(static_cast<std::size_t>((entry.end - entry.begin) / kFloatBytes));
    input.read(data_at + entry.begin, reinterpret_cast<char*>(tensor.data.data()),
               entry.end - entry.begin);
  }
  return file;
}

}  // namespace slidecell
