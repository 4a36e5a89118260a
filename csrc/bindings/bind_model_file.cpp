// _core's model files: read as metadata text and numpy arrays, with or without the model itself,
// and written.
#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings.h"
#include "slidecell/model.hpp"

namespace {

using slidecell::ModelFile;
using slidecell::SequenceModel;
using slidecell::Tensor;

// The tensor's numbers without a copy.
py::array_t<float> to_array(Tensor&& tensor) {
  auto kept = std::make_unique<Tensor>(std::move(tensor));
  const float* const data = kept->data.data();
  const std::vector<std::int64_t> shape = kept->shape;
  const py::capsule owner(kept.release(),
                          [](void* pointer) { delete static_cast<Tensor*>(pointer); });
  return py::array_t<float>(shape, data, owner);
}

py::dict to_arrays(slidecell::TensorMap&& tensors) {
  py::dict arrays;
  for (auto& [name, tensor] : tensors) arrays[py::str(name)] = to_array(std::move(tensor));
  return arrays;
}

// path -> (metadata, {name: float32 array})
py::tuple read_model_file(const std::string& path) {
  ModelFile file;
  {
    py::gil_scoped_release release;
    file = slidecell::read_model_file(path);
  }
  return py::make_tuple(file.metadata, to_arrays(std::move(file.tensors)));
}

// path -> (SequenceModel, metadata, {name: float32 array}): the file is read and checked once.
py::tuple load_model(const std::string& path) {
  ModelFile file;
  std::unique_ptr<SequenceModel> model;
  {
    py::gil_scoped_release release;
    file = slidecell::read_model_file(path);
    try {
      model = std::make_unique<SequenceModel>(file.metadata, file.tensors);
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(path + ": " + e.what());
    }
  }
  return py::make_tuple(std::move(model), file.metadata, to_arrays(std::move(file.tensors)));
}

py::bytes model_file_bytes(const std::string& metadata, const py::dict& tensors) {
  return slidecell::model_file_bytes({metadata, tensor_map(tensors)});
}

}  // namespace

void bind_model_file(py::module_& m) {
  m.def("read_model_file", &read_model_file, py::arg("path"));
  m.def("load_model", &load_model, py::arg("path"));
  m.def("model_file_bytes", &model_file_bytes, py::arg("metadata"), py::arg("tensors"));
}
