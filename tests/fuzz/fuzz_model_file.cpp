// Model files: what is accepted also scores, and its stream agrees with its batch.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "counts.h"
#include "json_tree.h"
#include "libfuzzer.h"
#include "memory_file.h"
#include "slidecell/error.hpp"
#include "small_models.h"

namespace {

using namespace slidecell::fuzz;
using slidecell::Json;
using slidecell::ModelFile;
using slidecell::SequenceModel;
using slidecell::Tensor;

constexpr std::size_t kLengthBytes = 8;

const std::vector<std::string>& words() {
  static const std::vector<std::string> values = {"format",
                                                  "window",
                                                  "horizon",
                                                  "encoder",
                                                  "decoder",
                                                  "cell",
                                                  "lstm",
                                                  "gru",
                                                  "rnn",
                                                  "input_size",
                                                  "hidden_size",
                                                  "proj_size",
                                                  "bidirectional",
                                                  "activation",
                                                  "tanh",
                                                  "relu",
                                                  "sigmoid",
                                                  "linear",
                                                  "recurrent_activation",
                                                  "hard_sigmoid",
                                                  "reset_after",
                                                  "features",
                                                  "targets",
                                                  "scaler",
                                                  "kind",
                                                  "standard",
                                                  "center",
                                                  "scale",
                                                  "constant",
                                                  "error",
                                                  "mean",
                                                  "whiten",
                                                  "slope",
                                                  "reduction",
                                                  "calibrated",
                                                  "intercept",
                                                  "smoothing",
                                                  "threshold",
                                                  "ewma",
                                                  "alpha",
                                                  "moving_average",
                                                  "trailing_mean",
                                                  "n",
                                                  "fixed",
                                                  "value",
                                                  "quantile",
                                                  "spot",
                                                  "cusum",
                                                  "extra",
                                                  "slidecell",
                                                  "__metadata__",
                                                  "dtype",
                                                  "F32",
                                                  "F64",
                                                  "shape",
                                                  "data_offsets",
                                                  "head.weight",
                                                  "head.bias",
                                                  "head",
                                                  "output_size",
                                                  "slope",
                                                  "gelu",
                                                  "gelu_tanh",
                                                  "leaky_relu",
                                                  "distribution",
                                                  "gaussian",
                                                  "head.0.weight",
                                                  "head.0.bias",
                                                  "encoder.0.weight_ih_l0",
                                                  "encoder.0.weight_hh_l0",
                                                  "encoder.0.bias_ih_l0",
                                                  "encoder.0.weight_hr_l0",
                                                  "encoder.0.weight_ih_l0_reverse",
                                                  "decoder.0.weight_ih_l0",
                                                  "encoder.1.weight_ih_l0",
                                                  ""};
  return values;
}

// The two parts of a file after its length.
struct Parts {
  std::string header, data;
};

std::optional<Parts> split(const std::uint8_t* bytes, std::size_t size) {
  if (size < kLengthBytes) return std::nullopt;
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = (length << 8) | bytes[i];
  if (length > size - kLengthBytes) return std::nullopt;
  const char* text = reinterpret_cast<const char*>(bytes) + kLengthBytes;
  const auto n = static_cast<std::size_t>(length);
  return Parts{{text, n}, {text + n, size - kLengthBytes - n}};
}

std::string joined(const Parts& parts) {
  std::string out;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    out += static_cast<char>(static_cast<std::uint64_t>(parts.header.size()) >> (8 * i));
  }
  return out + parts.header + parts.data;
}

// The JSON text inside the header's JSON, as a tree.
std::optional<Json> metadata_of(const Json& header) {
  const Json* metadata = header.find("__metadata__");
  const Json* text = metadata ? metadata->find("slidecell") : nullptr;
  if (!text || !text->string()) return std::nullopt;
  try {
    return Json::parse(*text->string());
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

std::int64_t size_in(const Json& object, const char* key) {
  const Json* value = object.find(key);
  const auto size = value ? value->integer() : std::nullopt;
  return size && *size >= 0 && *size <= 8 ? *size : 1;
}

bool flag_in(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value && value->type() == Json::Type::boolean && value->as_bool(key);
}

// A file whose tensors have the shapes that its metadata asks for, with the old numbers.
class Refit {
 public:
  Refit(const Json& metadata, const std::string& numbers, bool bias)
      : metadata_(metadata), numbers_(numbers), bias_(bias) {
    std::int64_t code = stack("encoder"), decoded = stack("decoder");
    const std::int64_t horizon = size_in(metadata, "horizon");
    const Json* targets = metadata.find("targets");
    std::int64_t rows = features_;
    if (targets && targets->array()) rows = static_cast<std::int64_t>(targets->array()->size());
    rows *= decoded > 0 ? 1 : horizon;
    const Json* distribution = metadata.find("distribution");
    if (distribution && !distribution->is_null()) rows *= 2;
    head(rows, decoded > 0 ? decoded : code);
  }

  std::string text(Random& random) const {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    std::string data;
    for (const auto& [name, tensor] : tensors_) {
      shapes[name] = tensor.shape;
      data.append(reinterpret_cast<const char*>(tensor.data.data()),
                  tensor.data.size() * sizeof(float));
    }
    return slidecell::model_file_header(json_text(metadata_, random.one_in(4) ? &random : nullptr),
                                        shapes) +
           data;
  }

 private:
  // Returns the size of the last layer's output.
  std::int64_t stack(const char* name) {
    const Json* layers = metadata_.find(name);
    if (!layers || !layers->array()) return 0;
    std::int64_t output = 0, number = 0;
    for (const Json& layer : *layers->array()) {
      const Json* cell = layer.find("cell");
      const std::string kind = cell && cell->string() ? *cell->string() : "";
      const std::int64_t gates = kind == "rnn" ? 1 : kind == "gru" ? 3 : 4;
      const std::int64_t in = size_in(layer, "input_size"), hidden = size_in(layer, "hidden_size");
      const std::int64_t projected = size_in(layer, "proj_size");
      const std::int64_t state = projected > 0 ? projected : hidden;
      if (features_ == 0) features_ = in;
      for (int d = 0; d < (flag_in(layer, "bidirectional") ? 2 : 1); ++d) {
        const std::string end = d == 1 ? "_l0_reverse" : "_l0";
        const std::string start = std::string(name) + "." + std::to_string(number) + ".";
        add(start + "weight_ih" + end, {gates * hidden, in});
        add(start + "weight_hh" + end, {gates * hidden, state});
        if (bias_) add(start + "bias_ih" + end, {gates * hidden});
        if (bias_) add(start + "bias_hh" + end, {gates * hidden});
        if (projected > 0) add(start + "weight_hr" + end, {projected, hidden});
      }
      output = state * (flag_in(layer, "bidirectional") ? 2 : 1);
      ++number;
    }
    return output;
  }

  void head(std::int64_t rows, std::int64_t depth) {
    const Json* layers = metadata_.find("head");
    if (!layers || !layers->array()) return product("head", rows, depth);
    std::int64_t number = 0;
    for (const Json& layer : *layers->array()) {
      if (layer.find("output_size")) {
        const std::int64_t size = size_in(layer, "output_size");
        product("head." + std::to_string(number), size, depth);
        depth = size;
      }
      ++number;
    }
  }

  void product(const std::string& name, std::int64_t rows, std::int64_t depth) {
    add(name + ".weight", {rows, depth});
    if (bias_) add(name + ".bias", {rows});
  }

  void add(const std::string& name, std::vector<std::int64_t> shape) {
    Tensor& tensor = tensors_[name];
    std::size_t size = 1;
    for (const std::int64_t n : shape) size *= static_cast<std::size_t>(n);
    tensor.shape = std::move(shape);
    const std::size_t count = numbers_.size() / sizeof(float);
    for (std::size_t i = 0; i < size; ++i) {
      float number = 0.25f;
      if (count > 0) {
        std::memcpy(&number, numbers_.data() + at_++ % count * sizeof(float), sizeof number);
      }
      tensor.data.push_back(number);
    }
  }

  const Json& metadata_;
  const std::string& numbers_;
  bool bias_;
  std::int64_t features_ = 0;
  std::size_t at_ = 0;
  slidecell::TensorMap tensors_;
};

std::string fresh(Random& random) {
  const ModelFile file = small_file(static_cast<std::uint32_t>(random.below(1u << 20)));
  std::map<std::string, std::vector<std::int64_t>> shapes;
  std::string data;
  for (const auto& [name, tensor] : file.tensors) {
    shapes[name] = tensor.shape;
    data.append(reinterpret_cast<const char*>(tensor.data.data()),
                tensor.data.size() * sizeof(float));
  }
  return slidecell::model_file_header(file.metadata, shapes) + data;
}

// The file with another text of metadata, all else as it is.
std::string with_metadata(const Json& header, const Parts& parts, const std::string& text) {
  Json metadata = with_key(*header.find("__metadata__"), "slidecell", Json(text));
  return joined({json_text(with_key(header, "__metadata__", std::move(metadata))), parts.data});
}

// What is written is read again as it was; what does not fit itself is not written.
void require_same_when_written(const std::string& read_from, ModelFile file) {
  const SequenceModel loaded = SequenceModel::load(read_from);
  const std::string path = scratch_folder() + "/model";
  slidecell::write_model_file(path, file);
  const ModelFile again = slidecell::read_model_file(path);
  if (again.metadata != file.metadata || again.tensors.size() != file.tensors.size()) std::abort();
  for (const auto& [name, tensor] : file.tensors) {
    const Tensor& other = again.tensors.at(name);
    if (other.shape != tensor.shape || other.data.size() != tensor.data.size()) std::abort();
  }
  for (const std::int64_t size : {std::int64_t{-1}, std::int64_t{1} << 40}) {
    file.tensors.begin()->second.shape = {size};
    try {
      slidecell::write_model_file(path, file);
      std::abort();
    } catch (const std::invalid_argument&) {
    }
  }
}

std::string with_odd_number(Parts parts, Random& random) {
  static const std::vector<float> numbers = {0.0f, -0.0f, 1e-45f, 1e38f, -3e38f, 1.0f, -2.0f};
  const std::size_t count = parts.data.size() / sizeof(float);
  for (std::size_t i = 1 + random.below(4); count > 0 && i-- > 0;) {
    const float number = random.of(numbers);
    std::memcpy(parts.data.data() + random.below(count) * sizeof number, &number, sizeof number);
  }
  return joined(parts);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static MemoryFile& memory = *new MemoryFile;
  ++counts().inputs;
  memory.set(data, size);
  try {
    const ModelFile file = slidecell::read_model_file(memory.path());
    ++counts().past_header;
    const SequenceModel model(file.metadata, file.tensors);
    ++counts().accepted;
    std::size_t weights = 0;
    for (const auto& entry : file.tensors) weights += entry.second.data.size();
    std::uint32_t seed = 0;
    for (std::size_t i = 0; i < size; ++i) seed = seed * 31 + data[i];
    // To write to a file is dear beside all else.
    if (seed % 61 == 0) require_same_when_written(memory.path(), file);
    if (run_model(model, weights, seed)) ++counts().ran;
  } catch (const std::invalid_argument& error) {
    if (error.what()[0] == '\0') std::abort();
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned int seed) {
  Random random(seed);
  const std::size_t what = random.below(20);
  if (what == 0) return LLVMFuzzerMutate(data, size, most);
  std::optional<Parts> parts = split(data, size);
  if (!parts || what == 1) return copied(fresh(random), data, most);
  if (what == 2) return copied(with_odd_number(*parts, random), data, most);
  if (what == 3) {
    parts->header = byte_mutated(parts->header, most - std::min(most, parts->data.size()));
    return copied(joined(*parts), data, most);
  }
  Json header;
  try {
    header = Json::parse(parts->header);
  } catch (const std::invalid_argument&) {
    return copied(fresh(random), data, most);
  }
  if (what < 7) {
    header = mutated(header, words(), random);
    return copied(joined({json_text(header, &random), parts->data}), data, most);
  }
  std::optional<Json> metadata = metadata_of(header);
  if (!metadata) return copied(fresh(random), data, most);
  if (what == 7) {
    const std::string text = byte_mutated(json_text(*metadata), most / 2);
    return copied(with_metadata(header, *parts, text), data, most);
  }
  for (std::size_t i = 1 + random.below(3); i-- > 0;) {
    *metadata = mutated(*metadata, words(), random);
  }
  if (what < 11) return copied(with_metadata(header, *parts, json_text(*metadata)), data, most);
  return copied(Refit(*metadata, parts->data, !random.one_in(4)).text(random), data, most);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                                 const std::uint8_t* two, std::size_t two_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned int seed) {
  Random random(seed);
  const std::optional<Parts> first = split(one, one_size), second = split(two, two_size);
  if (!first || !second) return copied(fresh(random), out, most);
  try {
    const Json header = Json::parse(first->header), other = Json::parse(second->header);
    if (random.one_in(4)) {
      return copied(joined({json_text(crossed(header, other, random)), first->data}), out, most);
    }
    const std::optional<Json> metadata = metadata_of(header), given = metadata_of(other);
    if (metadata && given) {
      const Json mixed = crossed(*metadata, *given, random);
      return copied(Refit(mixed, second->data, !random.one_in(4)).text(random), out, most);
    }
  } catch (const std::invalid_argument&) {
  }
  return copied(joined({first->header, second->data}), out, most);
}
