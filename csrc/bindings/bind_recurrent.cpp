// _core.Recurrent: stacks of equal LSTM or GRU layers on numpy arrays.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "checked.h"
#include "choices.h"
#include "slidecell/recurrent.hpp"
#include "slidecell/training.hpp"
#include "without_gil.h"

namespace {

using namespace slidecell;
using FloatArray = py::array_t<float, py::array::c_style>;

bool is_aligned(const py::array& a) {
  return reinterpret_cast<std::uintptr_t>(a.data()) % alignof(float) == 0;
}

// `value` itself if it is a contiguous float32 array, which `step` counts on; else a cast copy.
FloatArray float_array(py::handle value, const char* name) {
  if (is_plain_array(value) && FloatArray::check_(value)) {
    auto same = py::reinterpret_borrow<FloatArray>(value);
    return is_aligned(same) ? same : FloatArray(same.attr("copy")());
  }
  return real_array(value, name).attr("astype")("float32", py::arg("order") = "C");
}

// h or c, of which no number may be missing.
FloatArray state_array(py::handle value, const char* name) {
  if (is_plain_array(value)) return float_array(value, name);
  return float_array(
      py::module_::import("slidecell._arrays").attr("whole_array")(value, py::arg("name") = name),
      name);
}

template <std::size_t R>
void check_shape(const py::array& a, const std::array<std::int64_t, R>& expected, const char* name,
                 const char* meaning) {
  bool same = a.ndim() == static_cast<py::ssize_t>(R);
  for (std::size_t k = 0; same && k < R; ++k) {
    same = a.shape(static_cast<py::ssize_t>(k)) == expected[k];
  }
  if (!same) {
    throw std::invalid_argument(std::string(name) + ": expected " +
                                shape_text({expected.begin(), expected.end()}) + " (" + meaning +
                                "), got " + shape_text(shape_of(a)));
  }
}

LayerSpec layer_spec(const py::dict& d) {
  const auto text = [&](const char* key) { return d[key].cast<std::string>(); };
  LayerSpec spec;
  spec.cell = choose<Cell>("cell", text("cell"), cells_by_name());
  spec.input_size = d["input_size"].cast<std::int64_t>();
  spec.hidden_size = d["hidden_size"].cast<std::int64_t>();
  spec.proj_size = d["proj_size"].cast<std::int64_t>();
  spec.bidirectional = d["bidirectional"].cast<bool>();
  spec.activation = choose<Activation>("activation", text("activation"), activations_by_name());
  spec.recurrent_activation = choose<RecurrentActivation>(
      "recurrent_activation", text("recurrent_activation"), recurrent_activations_by_name());
  spec.reset_after = d["reset_after"].cast<bool>();
  return spec;
}

class Binding {
 public:
  Binding(const std::vector<py::dict>& layers, const py::dict& tensors)
      : core_(make(layers, tensors)) {
    const LayerSpec& first = core_.specs().front();
    for (const LayerSpec& spec : core_.specs()) {
      if (spec.cell != first.cell || spec.hidden_size != first.hidden_size ||
          spec.proj_size != first.proj_size || spec.bidirectional != first.bidirectional) {
        throw std::invalid_argument("specs: expected layers of one cell and size");
      }
    }
    has_c_ = first.has_c();
    I_ = first.input_size;
    H_ = first.hidden_size;
    P_ = first.state_size();
    states_ = static_cast<std::int64_t>(core_.specs().size()) * first.directions();
  }

  // x [N,T,I], state (h0, c0) [L*D,N,H] or h0 or None -> out, (h_n, c_n) or out, h_n.
  py::tuple forward(py::handle x_in, py::handle state, py::handle lengths_in,
                    std::optional<int> num_threads, const std::string& precision) const {
    const Precision own = precision_of(precision);
    const FloatArray x = float_array(x_in, "x");
    if (x.ndim() != 3 || x.shape(2) != I_) {
      throw std::invalid_argument("x: expected [N, T, " + std::to_string(I_) + "] (input_size=" +
                                  std::to_string(I_) + "), got " + shape_text(shape_of(x)));
    }
    const int threads = thread_count(num_threads);
    const std::int64_t N = x.shape(0), T = x.shape(1);
    std::optional<FloatArray> h0, c0;
    if (!state.is_none()) {
      const auto [h, c] = parts_of(state);
      h0 = state_array(h, "h0");
      check_shape<3>(*h0, {states_, N, P_}, "h0", "layers * directions, N, hidden or proj size");
      if (has_c_) {
        c0 = state_array(c, "c0");
        check_shape<3>(*c0, {states_, N, H_}, "c0", "layers * directions, N, hidden_size");
      }
    }
    const std::vector<std::int64_t> lengths = lengths_of(lengths_in, N, T);

    FloatArray out(std::vector<std::int64_t>{N, T, core_.specs().back().output_size()});
    FloatArray h_n(std::vector<std::int64_t>{states_, N, P_});
    std::optional<FloatArray> c_n;
    if (has_c_) c_n.emplace(std::vector<std::int64_t>{states_, N, H_});
    const float* x_data = x.data();
    const float* h0_data = h0 ? h0->data() : nullptr;
    const float* c0_data = c0 ? c0->data() : nullptr;
    float *out_data = out.mutable_data(), *h_data = h_n.mutable_data();
    float* c_data = c_n ? c_n->mutable_data() : nullptr;
    {
      const WithoutGil release;
      core_.forward(x_data, N, T, h0_data, c0_data, lengths, out_data, h_data, c_data, threads,
                    own);
    }
    if (!has_c_) return py::make_tuple(out, h_n);
    return py::make_tuple(out, py::make_tuple(h_n, *c_n));
  }

  // x [N,I], state (h, c) or h or None, [N,H] for one layer and [L,N,H] for a stack -> state.
  py::object step(py::handle x_in, py::handle state, const std::string& precision) const {
    const Precision own = precision_of(precision);
    if (core_.specs().front().bidirectional) {
      throw std::invalid_argument(
          "step: expected a unidirectional stack; a bidirectional one needs the whole sequence");
    }
    const FloatArray x = float_array(x_in, "x");
    if (x.ndim() != 2 || x.shape(1) != I_) {
      throw std::invalid_argument("x: expected [N, " + std::to_string(I_) + "] (input_size=" +
                                  std::to_string(I_) + "), got " + shape_text(shape_of(x)));
    }
    const std::int64_t N = x.shape(0);
    const auto [h_in, c_in] = parts_of(state);
    const FloatArray h = step_state(h_in, N, P_, "h");
    FloatArray h_out = empty_state(N, P_);
    const float *x_data = x.data(), *h_data = h.data();
    float* h_new = h_out.mutable_data();
    if (!has_c_) {
      const WithoutGil release;
      core_.step(x_data, N, h_data, nullptr, h_new, nullptr, own);
    } else {
      const FloatArray c = step_state(c_in, N, H_, "c");
      FloatArray c_out = empty_state(N, H_);
      const float* c_data = c.data();
      float* c_new = c_out.mutable_data();
      {
        const WithoutGil release;
        core_.step(x_data, N, h_data, c_data, h_new, c_new, own);
      }
      return py::make_tuple(std::move(h_out), std::move(c_out));
    }
    return std::move(h_out);
  }

 private:
  static Recurrent make(const std::vector<py::dict>& layers, const py::dict& tensors) {
    if (layers.empty()) throw std::invalid_argument("specs: expected at least one layer");
    std::vector<FloatArray> keep;  // the core copies the weights before this goes
    const auto tensor = [&](const std::string& name) -> Span<const float> {
      if (!tensors.contains(name)) return {};
      keep.push_back(float_array(tensors[name.c_str()], name.c_str()));
      return {keep.back().data(), static_cast<std::size_t>(keep.back().size())};
    };
    const auto direction = [&](const std::string& suffix) -> DirectionWeights {
      return {tensor("weight_ih" + suffix), tensor("weight_hh" + suffix),
              tensor("bias_ih" + suffix), tensor("bias_hh" + suffix), tensor("weight_hr" + suffix)};
    };
    std::vector<LayerSpec> specs;
    std::vector<LayerWeights> weights;
    for (const py::dict& layer : layers) {
      const std::string suffix = "_l" + std::to_string(specs.size());
      specs.push_back(layer_spec(layer));
      LayerWeights w;
      w.forward = direction(suffix);
      if (specs.back().bidirectional) w.reverse = direction(suffix + "_reverse");
      weights.push_back(w);
    }
    return Recurrent(std::move(specs), weights);
  }

  // h and c of a caller's state: (h, c) for LSTM, h for GRU, None for zeros.
  std::pair<py::object, py::object> parts_of(py::handle state) const {
    if (state.is_none()) return {py::none(), py::none()};
    if (!has_c_) return {py::reinterpret_borrow<py::object>(state), py::none()};
    if (!py::isinstance<py::tuple>(state) && !py::isinstance<py::list>(state)) {
      throw py::type_error("state: expected a pair (h, c), got " +
                           py::str(py::type::of(state).attr("__name__")).cast<std::string>());
    }
    const auto parts = py::reinterpret_borrow<py::sequence>(state);
    if (parts.size() != 2) {
      throw std::invalid_argument("state: expected a pair (h, c), got " +
                                  std::to_string(parts.size()) + " items");
    }
    return {parts[0], parts[1]};
  }

  static std::vector<std::int64_t> lengths_of(py::handle value, std::int64_t N, std::int64_t T) {
    if (value.is_none()) return {};
    const py::array_t<std::int64_t> given = integer_array(value, "lengths", "[N]");
    const std::string expected = "lengths: expected [" + std::to_string(N) + "] integers in 0.." +
                                 std::to_string(T) + ", got ";
    if (given.size() != N) throw std::invalid_argument(expected + shape_text(shape_of(given)));
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(N));
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t length = given.at(n);
      if (length < 0 || length > T) throw std::invalid_argument(expected + std::to_string(length));
      lengths[static_cast<std::size_t>(n)] = length;
    }
    return lengths;
  }

  FloatArray empty_state(std::int64_t N, std::int64_t size) const {
    if (states_ == 1) return FloatArray(std::array<py::ssize_t, 2>{N, size});
    return FloatArray(std::array<py::ssize_t, 3>{states_, N, size});
  }

  FloatArray step_state(py::handle value, std::int64_t N, std::int64_t size,
                        const char* name) const {
    if (value.is_none()) {
      FloatArray zeros = empty_state(N, size);
      std::fill_n(zeros.mutable_data(), zeros.size(), 0.0F);
      return zeros;
    }
    FloatArray state = state_array(value, name);
    if (states_ == 1) {
      check_shape<2>(state, {N, size}, name, "N, hidden or proj size");
    } else {
      check_shape<3>(state, {states_, N, size}, name, "num_layers, N, hidden or proj size");
    }
    return state;
  }

  Recurrent core_;
  bool has_c_ = true;
  std::int64_t I_ = 0, H_ = 0, P_ = 0;
  std::int64_t states_ = 0;  // L*D
};

// What info_of says of every cell, and with which activations it can be trained, by name.
py::dict cells() {
  py::dict result;
  for (const auto& [name, cell] : cells_by_name()) {
    LayerSpec spec;
    spec.cell = cell;
    py::list trained;
    for (const auto& [activation_name, activation] : activations_by_name()) {
      spec.activation = activation;
      if (is_trainable(spec)) trained.append(activation_name);
    }
    const CellInfo info = info_of(cell);
    py::dict entry;
    entry["title"] = info.title;
    entry["gates"] = info.gates;
    entry["states"] = info.has_c ? py::tuple(py::make_tuple("h", "c")) : py::make_tuple("h");
    entry["has_projection"] = info.has_projection;
    entry["has_reset_after"] = info.has_reset_after;
    entry["trained_activations"] = py::tuple(trained);
    result[name] = entry;
  }
  return result;
}

template <class Enum>
py::tuple names(const Choices<Enum>& choices) {
  py::list result;
  for (const auto& choice : choices) result.append(choice.first);
  return py::tuple(result);
}

}  // namespace

void bind_recurrent(py::module_& m) {
  checked::def(m, "cells", &cells,
               "Return what each kind of cell computes and may be given, by name.");
  checked::def(
      m, "activations", [] { return names(activations_by_name()); },
      "Return the names of the activations that layers and heads may have.");
  checked::def(
      m, "recurrent_activations", [] { return names(recurrent_activations_by_name()); },
      "Return the names of the activations that gates may have.");
  checked::Class<Binding>(m, "Recurrent", "Layers of LSTM, GRU or RNN in one or both directions.")
      .make([](const std::vector<py::dict>& specs,
               const py::dict& tensors) { return std::make_unique<Binding>(specs, tensors); },
            py::arg("specs"), py::arg("tensors"))
      .def("forward", &Binding::forward,
           "Run the layers over sequences [N, T, I]: all states of the last one, and the last of "
           "each.",
           py::arg("x"), py::arg("state"), py::arg("lengths"), py::arg("num_threads"),
           py::arg("precision") = "highest")
      .def("step", &Binding::step,
           "Run the layers over one step [N, I] and return their new states.", py::arg("x"),
           py::arg("state"), py::arg("precision") = "highest");
}
