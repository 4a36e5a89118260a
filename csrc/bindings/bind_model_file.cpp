// _core's model files: read as metadata text and numpy arrays, with or without the model itself,
// and written.
#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings.h"
#include "checked.h"
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

// The whole file; each tensor's numbers are copied once.
py::bytes model_file_bytes(const std::string& metadata, const py::dict& tensors) {
  std::map<std::string, py::array_t<float>> arrays;
  std::map<std::string, std::vector<std::int64_t>> shapes;
  std::size_t size = 0;
  for (const auto& [key, value] : tensors) {
    const auto name = py::cast<std::string>(key);
    const auto array =
        py::cast<py::array_t<float, py::array::c_style | py::array::forcecast>>(value);
    size += static_cast<std::size_t>(array.nbytes());
    shapes[name] = shape_of(array);
    arrays[name] = array;
  }
  const std::string header = slidecell::model_file_header(metadata, shapes);
  auto file = py::reinterpret_steal<py::bytes>(
      PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(header.size() + size)));
  if (!file) throw py::error_already_set();
  char* out = PyBytes_AS_STRING(file.ptr());
  out = std::copy(header.begin(), header.end(), out);
  for (const auto& [name, array] : arrays) {
    const auto* const bytes = reinterpret_cast<const char*>(array.data());
    out = std::copy_n(bytes, array.nbytes(), out);
  }
  return file;
}

}  // namespace

void bind_model_file(py::module_& m) {
  checked::def(m, "read_model_file", &read_model_file,
               "Return the JSON metadata and the tensors of a file, unchecked.", py::arg("path"));
  checked::def(m, "load_model", &load_model,
               "Return the model of a file, its JSON metadata and its tensors.", py::arg("path"));
  checked::def(m, "model_file_bytes", &model_file_bytes,
               "Return a model file with these metadata and tensors as bytes.", py::arg("metadata"),
               py::arg("tensors"));
}
