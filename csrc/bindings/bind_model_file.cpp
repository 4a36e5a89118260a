// _core.read_model_file: a model file as metadata text and numpy arrays.
#include <utility>

#include "bindings.h"
#include "slidecell/model.hpp"

namespace {

// path -> (metadata, {name: float32 array})
py::tuple read_model_file(const std::string& path) {
  slidecell::ModelFile file;
  {
    py::gil_scoped_release release;
    file = slidecell::read_model_file(path);
  }
  py::dict tensors;
  for (const auto& [name, tensor] : file.tensors) {
    tensors[py::str(name)] = py::array_t<float>(tensor.shape, tensor.data.data());
  }
  return py::make_tuple(file.metadata, tensors);
}

}  // namespace

void bind_model_file(py::module_& m) {
  m.def("read_model_file", &read_model_file, py::arg("path"));
}
