// The model file reader on good, damaged and hostile files.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "slidecell/error.hpp"
#include "slidecell/model.hpp"
#include "test.h"

using slidecell::read_model_file;

namespace {

const std::string kMetadata = R"("__metadata__":{"slidecell":"{\"format\": 1}"})";

// A file that is removed at the end of the test, with the bytes that a test wants in it.
class Scratch {
 public:
  explicit Scratch(const std::string& bytes)
      : path_((std::filesystem::temp_directory_path() /
               ("slidecell_test_" + std::to_string(reinterpret_cast<std::uintptr_t>(this))))
                  .string()) {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
  }
  ~Scratch() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string file_bytes(std::uint64_t header_length, const std::string& rest) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(header_length >> (8 * i)));
  return bytes + rest;
}

// A file with this header and `data_bytes` zero bytes of data.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  return file_bytes(header.size(), header + std::string(data_bytes, '\0'));
}

std::string tensor(const std::string& shape, const std::string& range, const char* dtype = "F32") {
  return std::string(R"("w":{"dtype":")") + dtype + R"(","shape":)" + shape +
         R"(,"data_offsets":)" + range + "}";
}

slidecell::ModelFile read_bytes(const std::string& bytes) {
  return read_model_file(Scratch(bytes).path());
}

void test_good_file() {
  const float values[] = {1.5f, -2.0f, 3.0f};
  std::string data(reinterpret_cast<const char*>(values), sizeof values);
  const std::string header = "{" + kMetadata +
                             R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)" +
                             R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[8,8]},)" +
                             R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}   )";
  const auto file = read_bytes(file_bytes(header.size(), header + data));
  CHECK(file.metadata == R"({"format": 1})");
  CHECK(file.tensors.size() == 3);
  CHECK(file.tensors.at("a").shape == std::vector<std::int64_t>{2, 1});
  CHECK(file.tensors.at("a").data == std::vector<float>{1.5f, -2.0f});
  CHECK(file.tensors.at("b").data == std::vector<float>{3.0f});
  CHECK(file.tensors.at("empty").data.empty());
}

void test_every_truncation_is_refused() {
  const std::string whole = file_of("{" + kMetadata + "," + tensor("[4]", "[0,16]") + "}", 16);
  CHECK(read_bytes(whole).tensors.size() == 1);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CHECK_THROWS(read_bytes(whole.substr(0, n)), std::invalid_argument, "slidecell_test_");
  }
  CHECK_THROWS(read_bytes(whole + "x"), std::invalid_argument, "tensors end at byte 16 of 17");
}

void test_header() {
  CHECK_THROWS(read_bytes(""), std::invalid_argument, "expected a safetensors file, got 0 bytes");
  for (std::uint64_t length :
       {std::uint64_t{100'000'001}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    CHECK_THROWS(read_bytes(file_bytes(length, "{}")), std::invalid_argument, "got the length");
  }
  CHECK_THROWS(read_bytes(file_bytes(0, "{}")), std::invalid_argument, "expected a JSON object");
  CHECK_THROWS(read_bytes(file_of(" {}", 0)), std::invalid_argument, "expected a JSON object");
  CHECK_THROWS(read_bytes(file_of("[]", 0)), std::invalid_argument, "expected a JSON object");
  CHECK_THROWS(read_bytes(file_of("{\"a\"}", 0)), std::invalid_argument,
               "header: JSON: expected ':' at byte 4");
  CHECK_THROWS(read_bytes(file_of("{}", 0)), std::invalid_argument, "not a slidecell model");
  CHECK_THROWS(read_bytes(file_of(R"({"__metadata__":[]})", 0)), std::invalid_argument,
               "__metadata__: expected an object");
  CHECK_THROWS(read_bytes(file_of(R"({"__metadata__":{"format":"pt"}})", 0)), std::invalid_argument,
               "no 'slidecell' key");
  CHECK_THROWS(read_bytes(file_of(R"({"__metadata__":{"slidecell":"","x":1}})", 0)),
               std::invalid_argument, "__metadata__: 'x': expected a string");
}

void check_tensor_refused(const std::string& entry, std::size_t data_bytes, const char* text) {
  CHECK_THROWS(read_bytes(file_of("{" + kMetadata + "," + entry + "}", data_bytes)),
               std::invalid_argument, std::string(": tensor 'w': ") + text);
}

void test_tensors() {
  check_tensor_refused(R"("w":3)", 0, "expected an object");
  check_tensor_refused(R"("w":{})", 0, "dtype: expected a string");
  check_tensor_refused(tensor("[1]", "[0,4]", "F16"), 4, "dtype: expected F32, got F16");
  check_tensor_refused(tensor("[-1]", "[0,4]"), 4, "shape: expected integers >= 0");
  check_tensor_refused(tensor("[1.0]", "[0,4]"), 4, "shape: expected integers >= 0");
  check_tensor_refused(tensor("7", "[0,4]"), 4, "shape: expected integers >= 0");
  check_tensor_refused(tensor("[1]", "[0,4,8]"), 4, "data_offsets: expected two integers");
  check_tensor_refused(tensor("[1]", "[-4,0]"), 4, "data_offsets: expected two integers");
  check_tensor_refused(tensor("[1]", "[4,0]"), 4, "data_offsets: expected a range within");
  check_tensor_refused(tensor("[2]", "[0,8]"), 4, "data_offsets: expected a range within");
  check_tensor_refused(tensor("[2]", "[0,9223372036854775807]"), 4, "data_offsets: expected a");
  check_tensor_refused(tensor("[2]", "[0,18446744073709551616]"), 4, "data_offsets: expected two");
  check_tensor_refused(tensor("[2]", "[0,4]"), 4, "shape: does not fill the 4 bytes");
  check_tensor_refused(tensor("[]", "[0,0]"), 0, "shape: does not fill the 0 bytes");
  // Products that wrap around 64 bits to the right number.
  check_tensor_refused(tensor("[4294967296,4294967296]", "[0,0]"), 0, "shape: does not fill");
  check_tensor_refused(tensor("[4611686018427387905]", "[0,4]"), 4, "shape: does not fill");
  check_tensor_refused(tensor("[1]", "[4,8]"), 8, "data_offsets: leaves a hole");
  check_tensor_refused(
      R"("v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)" + tensor("[2]", "[4,12]"), 12,
      "data_offsets: overlaps: expected to begin at 8, got 4");
  CHECK_THROWS(
      read_bytes(file_of(
          "{" + kMetadata + "," + tensor("[0]", "[0,0]") + "," + tensor("[0]", "[0,0]") + "}", 0)),
      std::invalid_argument, "duplicate key 'w'");
}

void test_unreadable() {
  CHECK_THROWS(read_model_file("/nowhere/model.safetensors"), slidecell::IoError,
               "/nowhere/model.safetensors: no such file");
  const std::string folder = std::filesystem::temp_directory_path().string();
  CHECK_THROWS(read_model_file(folder), slidecell::IoError, "is a directory");
#ifdef __linux__
  CHECK_THROWS(read_model_file("/dev/zero"), slidecell::IoError, "not a regular file");
#endif
}

void test_written() {
  slidecell::ModelFile file;
  file.metadata = "{\"features\": [\"a\\\"b\"], \"tab\": \"\t\x01\"}";
  file.tensors["b"] = {{2, 1}, {1.5f, -2.0f}};
  file.tensors["a\n"] = {{}, {3.0f}};
  file.tensors["empty"] = {{0, 5}, {}};
  const Scratch scratch("before");
  slidecell::write_model_file(scratch.path(), file);
  const auto read = read_model_file(scratch.path());
  CHECK(read.metadata == file.metadata && read.tensors.size() == 3);
  for (const auto& [name, tensor] : file.tensors) {
    CHECK(read.tensors.at(name).shape == tensor.shape);
    CHECK(read.tensors.at(name).data == tensor.data);
  }
  const std::string header =
      slidecell::model_file_header(file.metadata, {{"b", {2, 1}}, {"a\n", {}}, {"empty", {0, 5}}});
  CHECK(std::filesystem::file_size(scratch.path()) == header.size() + 3 * sizeof(float));
  CHECK(header.size() % 8 == 0);  // the numbers are aligned

  CHECK_THROWS(slidecell::write_model_file("/nowhere/model", file), slidecell::IoError,
               "/nowhere/model: cannot be written");
  file.tensors["b"].shape = {3};
  CHECK_THROWS(slidecell::model_file_header("", {{"b", {-1, -2}}}), std::invalid_argument,
               "tensor 'b': expected sizes of 0 or more, got shape [-1,-2]");
  CHECK_THROWS(slidecell::write_model_file(scratch.path(), file), std::invalid_argument,
               "tensor 'b'");
  CHECK(read_model_file(scratch.path()).tensors.size() == 3);
}

}  // namespace

int main() {
  test_good_file();
  test_written();
  test_every_truncation_is_refused();
  test_header();
  test_tensors();
  test_unreadable();
  return slidecell::test::result();
}
