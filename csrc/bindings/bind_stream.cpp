// _core.Stream: rows of numpy arrays, one at a time or many.
#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "bindings.h"
#include "checked.h"
#include "choices.h"
#include "slidecell/stream.hpp"
#include "without_gil.h"

namespace {

using slidecell::SequenceModel;
using slidecell::SeriesView;
using slidecell::Status;
using slidecell::Stream;

#ifdef Py_GIL_DISABLED
constexpr bool kHasGil = false;
#else
constexpr bool kHasGil = true;
#endif

// The streams that a thread has claimed. Where there is a GIL, a thread that holds it works alone:
// only calls without it claim theirs, and no lock is needed.
std::mutex claims;
std::vector<const Stream*> claimed;

std::unique_lock<std::mutex> lock_claims() {
  return kHasGil ? std::unique_lock<std::mutex>(claims, std::defer_lock)
                 : std::unique_lock<std::mutex>(claims);
}

// `stream`, unless another thread is at work on it: its memory would be torn.
template <class S>
class Turn {
 public:
  explicit Turn(S& stream, bool without_gil = false)
      : stream_(stream), claims_it_(without_gil || !kHasGil) {
    const auto lock = lock_claims();
    if (std::find(claimed.begin(), claimed.end(), &stream) != claimed.end()) {
      throw std::runtime_error(
          "stream: expected one thread at a time, got a call while another thread's push_many "
          "works on this stream; give each thread a stream of its own, or share one under a "
          "threading.Lock");
    }
    if (claims_it_) claimed.push_back(&stream);
  }
  ~Turn() {
    if (!claims_it_) return;
    const auto lock = lock_claims();
    claimed.erase(std::find(claimed.begin(), claimed.end(), &stream_));
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  S* operator->() const { return &stream_; }

 private:
  S& stream_;
  bool claims_it_;
};

void check(Status status, std::int64_t entity, const Stream& stream) {
  if (status == Status::ok) return;
  if (status == Status::unknown_entity) {
    throw py::value_error("entity: expected 0 to " + std::to_string(stream.num_entities() - 1) +
                          ", got " + std::to_string(entity));
  }
  throw py::value_error(slidecell::status_text(status));
}

[[noreturn]] void refuse_row(const Stream& stream, const py::array& row) {
  throw py::value_error("row: expected [" + std::to_string(stream.input_size()) +
                        "] (model input_size), got " + shape_text(shape_of(row)));
}

// A row whose elements have names (of pandas) in the order of the model's features; any other as it
// is.
py::object named_row(const Stream& stream, py::handle row) {
  if (is_plain_array(row) || stream.features().empty()) {
    return py::reinterpret_borrow<py::object>(row);
  }
  return py::module_::import("slidecell.frames").attr("match_row")(row, stream.features());
}

float push(Stream& stream, py::handle row, std::int64_t entity) {
  float score = 0;
  // The usual rows go straight through: this call is about a microsecond long.
  if (is_plain_array(row)) {
    const auto array = py::reinterpret_borrow<py::array>(row);
    if (array.ndim() == 1 && array.shape(0) == stream.input_size()) {
      if (py::isinstance<py::array_t<float, py::array::c_style>>(array)) {
        check(Turn(stream)->push(entity, static_cast<const float*>(array.data()), score), entity,
              stream);
        return score;
      }
      if (py::isinstance<py::array_t<double, py::array::c_style>>(array)) {
        check(Turn(stream)->push(entity, static_cast<const double*>(array.data()), score), entity,
              stream);
        return score;
      }
    }
  }
  const py::array real = real_array(named_row(stream, row), "row");
  if (real.ndim() != 1 || real.shape(0) != stream.input_size()) refuse_row(stream, real);
  const auto values = py::array_t<double, py::array::c_style | py::array::forcecast>(real);
  check(Turn(stream)->push(entity, values.data(), score), entity, stream);
  return score;
}

// `forecasts`, unless null, is made [n, K, T].
py::array_t<float> push_rows(Stream& stream, py::handle entities, py::handle rows,
                             std::optional<int> num_threads, const SequenceModel* model,
                             py::array_t<float>* forecasts) {
  const py::array_t<std::int64_t> ids = integer_array(entities, "entity_ids", "[n]");
  const py::array real = real_array(rows, "rows");
  const SeriesView view = series_view(real, "rows", "[n, F]");
  const int threads = thread_count(num_threads);
  py::array_t<float> scores(ids.size());
  float* const data = scores.mutable_data();
  float* ahead = nullptr;
  if (forecasts) {
    *forecasts = py::array_t<float>(std::vector<std::int64_t>{
        ids.size(), std::max<std::int64_t>(1, model->horizon()), model->num_targets()});
    ahead = forecasts->mutable_data();
  }
  const slidecell::Span<const std::int64_t> span(ids.data(), static_cast<std::size_t>(ids.size()));
  {
    // After the arguments: reading them may let another thread run.
    const Turn turn(stream, true);
    const WithoutGil release;
    turn->push_many(span, view, data, threads, ahead);
  }
  return scores;
}

py::array_t<float> push_many(Stream& stream, py::handle entities, py::handle rows,
                             std::optional<int> num_threads) {
  return push_rows(stream, entities, rows, num_threads, nullptr, nullptr);
}

py::tuple push_many_ahead(Stream& stream, const SequenceModel& model, py::handle entities,
                          py::handle rows, std::optional<int> num_threads) {
  py::array_t<float> forecasts;
  py::array_t<float> scores = push_rows(stream, entities, rows, num_threads, &model, &forecasts);
  return py::make_tuple(std::move(scores), std::move(forecasts));
}

py::array_t<float> predict_next(const Stream& stream, const SequenceModel& model,
                                std::int64_t entity) {
  py::array_t<float> out(
      std::vector<std::int64_t>{std::max<std::int64_t>(1, model.horizon()), model.num_targets()});
  check(Turn(stream)->predict_next(entity, out.mutable_data()), entity, stream);
  return out;
}

py::tuple audit_tuple(const slidecell::SeamAudit& found) {
  return py::make_tuple(found.seams, found.carried, found.exact);
}

Stream from_saved_bytes(const SequenceModel& model, const py::bytes& saved) {
  return Stream::from_saved_bytes(model, std::string(saved));
}

}  // namespace

void bind_stream(py::module_& m) {
  checked::Class<Stream>(m, "Stream", "The unfinished windows of one or many entities.")
      .make(
          [](const SequenceModel& model, std::int64_t num_entities, const std::string& precision,
             const std::string& reduction, const std::string& aggregate, std::int64_t max_bytes,
             const std::string& mode) {
            return Stream(model, num_entities,
                          {precision_of(precision), reduction_of(reduction),
                           aggregate_of(aggregate), max_bytes, windows_of(mode, "mode")});
          },
          py::arg("model"), py::arg("num_entities"), py::kw_only(), py::arg("precision"),
          py::arg("reduction"), py::arg("aggregate"), py::arg("max_bytes"), py::arg("mode"))
      .def_static("load", &Stream::load, "Return the stream that `save` wrote, of this model.",
                  py::arg("model"), py::arg("path"))
      .def_property_readonly("num_entities", &Stream::num_entities, "Entities that are kept apart.")
      .def_property_readonly("bytes_per_entity", &Stream::bytes_per_entity,
                             "Memory that an entity takes.")
      .def(
          "plan", [](const Stream& stream) { return plan_dict(stream.plan()); },
          "Return which kernels the stream runs.")
      .def(
          "rows_seen",
          [](const Stream& stream, std::int64_t entity) { return Turn(stream)->rows_seen(entity); },
          "Return how many rows an entity has had.", py::arg("entity"))
      .def(
          "push", &push,
          "Take an entity's next row [F] and return its score, NaN where it has none.\n\nRaw where "
          "the model has a scaler. NaN, infinity or a masked element makes the row a missing one.",
          py::arg("row"), py::arg("entity") = 0)
      .def("push_many", &push_many,
           "Take one row of each of n entities, [n, F], and return their scores [n].",
           py::arg("entity_ids"), py::arg("rows"), py::arg("num_threads"))
      .def("push_many_ahead", &push_many_ahead,
           "Do as `push_many`; return the scores, and the forecasts [n, K, C] before each row.",
           py::arg("model"), py::arg("entity_ids"), py::arg("rows"), py::arg("num_threads"))
      .def(
          "advance", [](Stream& stream) { Turn(stream)->advance(); },
          "Advance the windows that the last pushes left behind.")
      .def(
          "set_background", [](Stream& stream, bool on) { Turn(stream)->set_background(on); },
          "Let a helper thread advance windows between pushes, or end it.", py::arg("on"))
      .def(
          "audit",
          [](const Stream& stream, std::int64_t entity) {
            return audit_tuple(Turn(stream)->audit(entity));
          },
          "Return an entity's seams: how many, and the two scores furthest apart.",
          py::arg("entity"))
      .def(
          "audit_all", [](const Stream& stream) { return audit_tuple(Turn(stream)->audit()); },
          "Return the seams of all entities together.")
      .def("predict_next", &predict_next,
           "Return the forecast of an entity's next rows [K, C], NaN before its first full window.",
           py::arg("model"), py::arg("entity"))
      .def(
          "reset",
          [](Stream& stream, std::int64_t entity) {
            check(Turn(stream)->reset(entity), entity, stream);
          },
          "Forget the rows of an entity.", py::arg("entity"))
      .def(
          "resize",
          [](Stream& stream, std::int64_t num_entities) { Turn(stream)->resize(num_entities); },
          "Keep so many entities; new ones have seen no row.", py::arg("num_entities"))
      .def(
          "save", [](Stream& stream, const std::string& path) { Turn(stream)->save(path); },
          "Write the state to a file.", py::arg("path"))
      .def(
          "saved_bytes", [](Stream& stream) { return py::bytes(Turn(stream)->saved_bytes()); },
          "Return what `save` writes.")
      .def_static("from_saved_bytes", &from_saved_bytes,
                  "Return the stream of what `saved_bytes` returned, of this model.",
                  py::arg("model"), py::arg("saved"))
      .def(
          "state_bytes",
          [](Stream& stream, std::int64_t entity) {
            return py::bytes(Turn(stream)->state_bytes(entity));
          },
          "Return the state of one entity, for `restore`.", py::arg("entity"))
      .def_property_readonly("state_bytes_size", &Stream::state_bytes_size,
                             "How many bytes `state_bytes` returns.")
      .def(
          "restore",
          [](Stream& stream, std::int64_t entity, const py::bytes& state) {
            Turn(stream)->restore(entity, std::string(state));
          },
          "Let an entity go on from what `state_bytes` returned.", py::arg("entity"),
          py::arg("state"));
}
