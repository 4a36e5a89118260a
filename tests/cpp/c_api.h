// What the tests of the C interface share: handles that free themselves, a model file, rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "models.h"
#include "slidecell/model.hpp"
#include "slidecell/slidecell.h"
#include "test.h"

namespace slidecell::test {

constexpr std::int64_t kFeatures = 3, kRows = 60;
inline const std::vector<std::int64_t> kOffsets = {0, 25, 25, kRows};

// A folder that goes when the test does.
class Folder {
 public:
  Folder() {
    std::random_device seed;
    path_ = std::filesystem::temp_directory_path() /
            ("slidecell-" + std::to_string(seed()) + std::to_string(seed()));
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

struct Freer {
  void operator()(slidecell_model* model) const { slidecell_model_free(model); }
  void operator()(slidecell_stream* stream) const { slidecell_stream_free(stream); }
  void operator()(slidecell_monitor* monitor) const { slidecell_monitor_free(monitor); }
};
using ModelHandle = std::unique_ptr<slidecell_model, Freer>;
using StreamHandle = std::unique_ptr<slidecell_stream, Freer>;
using MonitorHandle = std::unique_ptr<slidecell_monitor, Freer>;

inline ModelHandle load(const std::string& path) {
  slidecell_model* model = nullptr;
  CHECK(slidecell_model_load(path.c_str(), &model) == SLIDECELL_OK);
  return ModelHandle(model);
}

inline StreamHandle create(const ModelHandle& model, std::int64_t entities,
                           const slidecell_options* options = nullptr) {
  slidecell_stream* stream = nullptr;
  CHECK(slidecell_stream_create(model.get(), entities, options, &stream) == SLIDECELL_OK);
  return StreamHandle(stream);
}

inline bool error_has(const char* text) {
  return std::string(slidecell_last_error()).find(text) != std::string::npos;
}

inline Floats random_rows(std::mt19937& rng) {
  std::normal_distribution<float> normal;
  Floats rows(kRows * kFeatures);
  for (float& x : rows) x = normal(rng);
  rows[40 * kFeatures] = std::numeric_limits<float>::quiet_NaN();
  return rows;
}

inline ModelFile model_file(std::int64_t horizon, std::mt19937& rng) {
  ModelSpec spec;
  spec.horizon = horizon;
  LayerSpec layer;
  layer.input_size = kFeatures;
  layer.hidden_size = 9;
  spec.encoder = {layer};
  if (horizon == 0) {
    layer.input_size = 9;
    spec.decoder = {layer};
  }
  spec.center = {0.5, 1.0, -2.0};
  spec.scale = {2.0, 0.5, 1.0};
  spec.error = true;
  return random_file(spec, rng);
}

}  // namespace slidecell::test
