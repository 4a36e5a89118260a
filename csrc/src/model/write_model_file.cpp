// Writes safetensors, byte for byte as the library of that name does: 8 bytes of header length
// (little-endian), a JSON header that spaces fill up to a multiple of 8 bytes, then the tensors'
// bytes in the order of their names.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "model/whole_file.h"
#include "slidecell/model.hpp"

namespace slidecell {
namespace {

constexpr std::size_t kAlignment = 8;

std::string quoted(std::string_view text) {
  static constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kShort = "\"\\bfnrt";
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (const std::size_t at = kPlain.find(c); at != std::string_view::npos) {
      out += '\\';
      out += kShort[at];
    } else if (code < 0x20) {
      char escape[7];
      std::snprintf(escape, sizeof escape, "\\u%04x", code);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string shape_text(const std::string& name, const Tensor& tensor) {
  std::string text = "[";
  std::size_t size = 1;
  for (const std::int64_t extent : tensor.shape) {
    text += (text.size() > 1 ? "," : "") + std::to_string(extent);
    size *= static_cast<std::size_t>(extent);
  }
  text += "]";
  if (size != tensor.data.size()) {
    throw std::invalid_argument("tensor '" + name + "': expected the " +
                                std::to_string(tensor.data.size()) + " numbers of its data, got " +
                                "shape " + text);
  }
  return text;
}

}  // namespace

std::string model_file_bytes(const ModelFile& file) {
  std::string header = R"({"__metadata__":{"slidecell":)" + quoted(file.metadata) + "}";
  std::size_t end = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const std::size_t begin = end;
    end += tensor.data.size() * sizeof(float);
    header += "," + quoted(name) + R"(:{"dtype":"F32","shape":)" + shape_text(name, tensor) +
              R"(,"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  header += "}";
  header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');

  std::string bytes;
  bytes.reserve(kAlignment + header.size() + end);
  for (std::size_t i = 0; i < kAlignment; ++i) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  }
  bytes += header;
  for (const auto& [name, tensor] : file.tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.data.data()),
                 tensor.data.size() * sizeof(float));
  }
  return bytes;
}

void write_model_file(const std::string& path, const ModelFile& file) {
  const std::string bytes = model_file_bytes(file);
  WholeFile whole(path);
  whole.add(bytes.data(), bytes.size());
  whole.commit();
}

}  // namespace slidecell
