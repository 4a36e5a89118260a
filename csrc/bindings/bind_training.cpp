// _core.training_*: the two passes of training on numpy arrays that share torch's memory.
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "checked.h"
#include "choices.h"
#include "slidecell/training.hpp"
#include "training_memory.h"
#include "without_gil.h"

namespace {

using namespace slidecell;
using Floats = py::array_t<float>;
using MaybeFloats = std::optional<Floats>;

std::invalid_argument unexpected(const char* name, const std::string& expected, const Floats& got) {
  return std::invalid_argument(std::string(name) + ": expected " + expected + ", got " +
                               shape_text(shape_of(got)));
}

// Contiguous numbers of this shape, or null.
template <std::size_t R>
const float* contiguous(const MaybeFloats& array, const std::array<std::int64_t, R>& shape,
                        const char* name) {
  if (!array) return nullptr;
  const std::vector<std::int64_t> expected(shape.begin(), shape.end());
  if (shape_of(*array) != expected || (array->flags() & py::array::c_style) == 0) {
    throw unexpected(name, "contiguous " + shape_text(expected), *array);
  }
  return array->data();
}
template <std::size_t R>
float* writeable(const MaybeFloats& array, const std::array<std::int64_t, R>& shape,
                 const char* name) {
  const float* data = contiguous(array, shape, name);
  return data ? Floats(*array).mutable_data() : nullptr;
}

// [N,T,size] with any strides but that of the last axis.
template <class T>
Sequence<T> sequence(const MaybeFloats& array, const std::array<std::int64_t, 3>& shape,
                     const char* name) {
  if (!array) return {};
  const std::vector<std::int64_t> expected(shape.begin(), shape.end());
  constexpr auto size = static_cast<py::ssize_t>(sizeof(float));
  const bool fits = shape_of(*array) == expected && (shape[2] == 1 || array->strides(2) == size) &&
                    array->strides(0) % size == 0 && array->strides(1) % size == 0;
  if (!fits) throw unexpected(name, shape_text(expected) + " with a contiguous last axis", *array);
  const std::ptrdiff_t row = array->strides(0) / size, step = array->strides(1) / size;
  if constexpr (std::is_const_v<T>) {
    return {array->data(), row, step};
  } else {
    return {Floats(*array).mutable_data(), row, step};
  }
}

Span<const float> span(const MaybeFloats& array, const char* name) {
  if (!array) return {};
  if ((array->flags() & py::array::c_style) == 0) throw unexpected(name, "contiguous", *array);
  return {array->data(), static_cast<std::size_t>(array->size())};
}

// w_ih, w_hh, b_ih, b_hh, h0, c0; all but the first two may be None.
using Tensors = std::array<MaybeFloats, 6>;

// What both passes take: the layer, its weights and its inputs.
struct Layer {
  LayerSpec spec;
  DirectionWeights weights;
  TrainingInput input;
  std::array<std::int64_t, 2> state{};
  std::array<std::int64_t, 3> output{};

  Layer(const std::string& cell, const std::string& activation, const Floats& x,
        const Tensors& tensors) {
    const auto& [w_ih, w_hh, b_ih, b_hh, h0, c0] = tensors;
    if (x.ndim() != 3) throw unexpected("x", "[N, T, I]", x);
    if (!w_hh || w_hh->ndim() != 2) throw std::invalid_argument("weight_hh: expected [G*H, H]");
    spec.cell = choose<Cell>("cell", cell, cells_by_name());
    spec.activation = choose<Activation>("activation", activation, activations_by_name());
    spec.input_size = x.shape(2);
    spec.hidden_size = w_hh->shape(1);
    weights = {span(w_ih, "weight_ih"),
               span(w_hh, "weight_hh"),
               span(b_ih, "bias_ih"),
               span(b_hh, "bias_hh"),
               {}};
    input.N = x.shape(0);
    input.T = x.shape(1);
    state = {input.N, spec.hidden_size};
    output = {input.N, input.T, spec.hidden_size};
    input.x = sequence<const float>(x, {input.N, input.T, spec.input_size}, "x");
    input.h0 = contiguous(h0, state, "h0");
    input.c0 = contiguous(c0, state, "c0");
  }

  std::array<std::int64_t, 1> saved_shape() const {
    return {training_saved_size(spec, input.N, input.T)};
  }
  std::array<std::int64_t, 2> weight_shape(std::int64_t columns) const {
    return {spec.gates() * spec.hidden_size, columns};
  }
  std::array<std::int64_t, 1> bias_shape() const { return {spec.gates() * spec.hidden_size}; }
};

std::int64_t saved_size(const std::string& cell, std::int64_t N, std::int64_t T, std::int64_t H) {
  LayerSpec spec;
  spec.cell = choose<Cell>("cell", cell, cells_by_name());
  spec.hidden_size = H;
  return training_saved_size(spec, N, T);
}

// Writes saved, out, h_n and c_n, each of which may be None.
void forward(const std::string& cell, const Floats& x, const Tensors& tensors,
             const MaybeFloats& saved, const MaybeFloats& out, const MaybeFloats& h_n,
             const MaybeFloats& c_n, std::optional<int> num_threads,
             const std::string& activation) {
  const Layer layer(cell, activation, x, tensors);
  const int threads = thread_count(num_threads);
  const TrainingOutput output{sequence<float>(out, layer.output, "out"),
                              writeable(h_n, layer.state, "h_n"),
                              writeable(c_n, layer.state, "c_n")};
  float* const saved_data = writeable(saved, layer.saved_shape(), "saved");
  const WithoutGil release;
  training_forward(layer.spec, layer.weights, layer.input, output, saved_data, threads);
}

// given: gradients of (out, h_n, c_n); wanted: arrays for those of (x, w_ih, w_hh, b_ih, b_hh, h0,
// c0). Any of them may be None.
void backward(const std::string& cell, const Floats& x, const Tensors& tensors,
              const MaybeFloats& saved, const std::array<MaybeFloats, 3>& given,
              const std::array<MaybeFloats, 7>& wanted, std::optional<int> num_threads,
              const std::string& activation) {
  const Layer layer(cell, activation, x, tensors);
  const int threads = thread_count(num_threads);
  const std::int64_t I = layer.spec.input_size, H = layer.spec.hidden_size;
  const OutputGradients output{sequence<const float>(given[0], layer.output, "out"),
                               contiguous(given[1], layer.state, "h_n"),
                               contiguous(given[2], layer.state, "c_n")};
  const InputGradients gradients{sequence<float>(wanted[0], {layer.input.N, layer.input.T, I}, "x"),
                                 writeable(wanted[5], layer.state, "h0"),
                                 writeable(wanted[6], layer.state, "c0"),
                                 writeable(wanted[1], layer.weight_shape(I), "weight_ih"),
                                 writeable(wanted[2], layer.weight_shape(H), "weight_hh"),
                                 writeable(wanted[3], layer.bias_shape(), "bias_ih"),
                                 writeable(wanted[4], layer.bias_shape(), "bias_hh")};
  const float* const saved_data = contiguous(saved, layer.saved_shape(), "saved");
  const WithoutGil release;
  training_backward(layer.spec, layer.weights, layer.input, saved_data, output, gradients, threads);
}

}  // namespace

void bind_training(py::module_& m) {
  checked::Class<TrainingMemory>(m, "TrainingMemory",
                                 "Memory that the passes of training use again.")
      .make([] { return std::make_unique<TrainingMemory>(); })
      .def("take", &TrainingMemory::take,
           "Return an array of so many numbers, of memory that earlier ones gave back.",
           py::arg("size"))
      .def("clear", &TrainingMemory::clear, "Free the memory that no array uses.");
  checked::def(m, "training_saved_size", &saved_size,
               "Return how many numbers `training_forward` keeps for `training_backward`.",
               py::arg("cell"), py::arg("N"), py::arg("T"), py::arg("H"));
  // Not converted: what a pass writes must be the caller's own memory.
  checked::def(m, "training_forward", &forward,
               "Run a layer over sequences [N, T, I] and keep what its gradients need.",
               py::arg("cell"), py::arg("x").noconvert(), py::arg("tensors").noconvert(),
               py::arg("saved").noconvert(), py::arg("out").noconvert(), py::arg("h_n").noconvert(),
               py::arg("c_n").noconvert(), py::arg("num_threads"), py::arg("activation") = "tanh");
  checked::def(m, "training_backward", &backward, "Add the gradients of a layer to what is wanted.",
               py::arg("cell"), py::arg("x").noconvert(), py::arg("tensors").noconvert(),
               py::arg("saved").noconvert(), py::arg("given").noconvert(),
               py::arg("wanted").noconvert(), py::arg("num_threads"),
               py::arg("activation") = "tanh");
}
