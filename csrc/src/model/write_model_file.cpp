// Writes safetensors, byte for byte as the library of that name does: 8 bytes of header length
// (little-endian), a JSON header that spaces fill up to a multiple of 8 bytes, then the tensors'
// bytes in the order of their names.
#include <cstdint>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

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

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    text += (text.size() > 1 ? "," : "") + std::to_string(extent);
  }
  return text + "]";
}

std::size_t size_of(const std::string& name, const std::vector<std::int64_t>& shape) {
  std::size_t size = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) {
      throw std::invalid_argument("tensor '" + name + "': expected sizes of 0 or more, got shape " +
                                  shape_text(shape));
    }
    size *= static_cast<std::size_t>(extent);
  }
  return size;
}

}  // namespace

std::string model_file_header(const std::string& metadata,
                              const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  std::string header = R"({"__metadata__":{"slidecell":)" + quoted(metadata) + "}";
  std::size_t end = 0;
  for (const auto& [name, shape] : shapes) {
    const std::size_t begin = end;
    end += size_of(name, shape) * sizeof(float);
    header += "," + quoted(name) + R"(:{"dtype":"F32","shape":)" + shape_text(shape) +
              R"(,"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  header += "}";
  header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  std::string length;
  for (std::size_t i = 0; i < kAlignment; ++i) {
    length += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  }
  return length + header;
}

void write_model_file(const std::string& path, const ModelFile& file) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [name, tensor] : file.tensors) {
    if (size_of(name, tensor.shape) != tensor.data.size()) {
      throw std::invalid_argument("tensor '" + name + "': expected the " +
                                  std::to_string(tensor.data.size()) +
                                  " numbers of its data, got shape " + shape_text(tensor.shape));
    }
    shapes[name] = tensor.shape;
  }
  const std::string header = model_file_header(file.metadata, shapes);
  WholeFile whole(path);
  whole.add(header.data(), header.size());
  for (const auto& [name, tensor] : file.tensors) {
    whole.add(tensor.data.data(), tensor.data.size() * sizeof(float));
  }
  whole.commit();
}

}  // namespace slidecell
