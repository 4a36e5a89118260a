// Writes the corpora that the fuzzers begin with: fuzz_corpus FOLDER. They are the same each time.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "slidecell/cpu.hpp"
#include "slidecell/stream.hpp"
#include "small_models.h"

namespace {

using namespace slidecell::fuzz;

void write(const std::filesystem::path& folder, const std::string& name, const std::string& data) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << data;
}

void write_texts(const std::filesystem::path& folder) {
  std::string deep = "1";
  for (int i = 0; i < 64; ++i) deep = "[" + deep + "]";
  const std::vector<std::pair<const char*, std::string>> texts = {
      {"layer", R"({"cell":"lstm","input_size":3,"bidirectional":false,"scale":[0.5,-1e-3,2E+8]})"},
      {"escapes", R"(["\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"])"},
      {"utf8", "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]"},
      {"numbers", "[0,-0,-0.0,9223372036854775807,-9223372036854775808,9223372036854775808,1e308]"},
      {"spaces", " {\n\t\"a\" : [ true , false , null ] }\r\n"},
      {"empty", R"({"":{},"a":[],"b":""})"},
      {"deep", deep},
      {"too-deep", "[" + deep + "]"},
      {"twins", R"({"a":1,"b":2,"a":3})"},
      {"lone-surrogate", R"(["\ud83d"])"},
      {"no-utf8", "[\"\xc3\"]"},
      {"unfinished", R"({"a":[1,2)"},
  };
  for (const auto& [name, text] : texts) write(folder, name, text);
}

void write_models(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  for (std::uint32_t number = 0, kept = 0; kept < 16; ++number) {
    const std::string path = (folder / ("model-" + std::to_string(kept))).string();
    slidecell::write_model_file(path, small_file(number));
    if (std::filesystem::file_size(path) < 2000) ++kept;
  }
}

// What only a monitor refuses.
void write_odd_smoothing(const std::filesystem::path& folder) {
  slidecell::ModelFile file = small_file(0);
  const std::string alpha = R"("alpha":0.5)";
  file.metadata.replace(file.metadata.find(alpha), alpha.size(), R"("alpha":2.5)");
  slidecell::write_model_file((folder / "alpha").string(), file);
  file = small_file(0);
  const std::string kind = R"("ewma")";
  file.metadata.replace(file.metadata.find(kind), kind.size(), R"("else")");
  slidecell::write_model_file((folder / "smoothing").string(), file);
}

// As fuzz_stream_state reads them.
void write_states(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  slidecell::set_isa("scalar");  // every machine has it
  for (std::uint32_t number = 0; number < 12; ++number) {
    const slidecell::ModelFile file = small_file(100 + number);
    const slidecell::SequenceModel model(file.metadata, file.tensors);
    slidecell::Stream stream(model, 1 + number % 3);
    std::vector<float> row(static_cast<std::size_t>(model.input_size()), 0.5f);
    float score = 0;
    for (std::uint32_t i = 0; i < 3 * number; ++i)
      stream.push(i % (1 + number % 3), row.data(), score);
    const std::string path = (folder / "part").string();
    stream.save(path);
    std::ifstream saved(path, std::ios::binary);
    write(folder, "state-" + std::to_string(number),
          static_cast<char>(number) +
              std::string(std::istreambuf_iterator<char>(saved), std::istreambuf_iterator<char>()));
    std::filesystem::remove(path);
  }
}

// A model, a stream or monitor, and each call once; fuzz_calls says what the bytes mean.
void write_calls(const std::filesystem::path& folder) {
  for (int number = 0; number < 12; ++number) {
    std::string calls;
    const auto add = [&](int call, int first, int second) {
      for (const int byte : {call, first, second, 0, 3, 4, 20, number})
        calls += static_cast<char>(byte);
    };
    add(0, number % 3, number % 8);
    add(13, 0, number % 2);
    add(13, 0, 1);
    for (int call = 3; call < 23; ++call) add(call, 0, (number * 5 + call) % 24);
    write(folder, "calls-" + std::to_string(number), calls);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: fuzz_corpus FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = arguments[1];
  write_texts(folder / "json");
  write_models(folder / "model_file");
  write_odd_smoothing(folder / "model_file");
  write_states(folder / "stream_state");
  write_calls(folder / "calls");
  return 0;
}
