// Sequences of calls of the C interface. An input is a list of records of eight bytes: a call and
// its arguments, null pointers and numbers out of range among them. Arrays are exactly as long as
// the interface says, so that the address sanitizer sees a step beyond them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "c_api/handles.h"
#include "counts.h"
#include "libfuzzer.h"
#include "memory_file.h"
#include "random.h"
#include "slidecell/slidecell.h"
#include "small_models.h"

namespace {

using namespace slidecell::fuzz;

constexpr std::size_t kRecord = 8, kMostCalls = 24, kSlots = 3, kModelFiles = 8;
constexpr int kCalls = 23;

// A reader of one record's arguments.
class Arguments {
 public:
  explicit Arguments(const std::uint8_t* record) : at_(record + 1), end_(record + kRecord) {}
  std::size_t below(std::size_t n) { return at_ < end_ ? *at_++ % n : 0; }
  bool rarely() { return below(16) == 15; }
  // Null now and then: the interface promises to refuse it.
  template <class T>
  T* or_null(T* pointer) {
    if (!rarely()) return pointer;
    null_ = true;
    return nullptr;
  }
  // Whether a null pointer was given since the last question.
  bool gave_null() { return std::exchange(null_, false); }
  std::uint8_t rest() { return at_ < end_ ? *at_++ : 7; }

 private:
  const std::uint8_t *at_, *end_;
  bool null_ = false;
};

const std::vector<std::string>& paths() {
  static const std::vector<std::string>& all = *[] {
    auto* made = new std::vector<std::string>;
    for (std::uint32_t i = 0; i < kModelFiles; ++i) {
      made->push_back(scratch_folder() + "/model-" + std::to_string(i));
      slidecell::write_model_file(made->back(), small_file(i));
    }
    made->push_back(scratch_folder());
    made->push_back(scratch_folder() + "/none");
    made->push_back(scratch_folder() + "/state-0");
    made->push_back("");
    return made;
  }();
  return all;
}

// A failed call says why, and a null pointer is refused as such.
bool checked(int status, Arguments& a) {
  if (status < SLIDECELL_OK || status >= SLIDECELL_INTERNAL) {
    std::fprintf(stderr, "status %d: %s\n", status, slidecell_last_error());
    std::abort();
  }
  if (status != SLIDECELL_OK && slidecell_last_error()[0] == '\0') std::abort();
  if (a.gave_null() && status == SLIDECELL_OK) {
    std::fprintf(stderr, "a null pointer was accepted\n");
    std::abort();
  }
  return status == SLIDECELL_OK;
}

std::int64_t entity_of(Arguments& a, std::int64_t entities) {
  if (a.rarely()) return odd_integers()[a.below(odd_integers().size())];
  return static_cast<std::int64_t>(
      a.below(static_cast<std::size_t>(std::max<std::int64_t>(1, entities))));
}

template <class T>
std::vector<T> numbers(std::int64_t n, std::uint8_t seed) {
  std::vector<T> values(static_cast<std::size_t>(std::max<std::int64_t>(0, n)));
  Random random(seed);
  for (T& value : values) value = static_cast<T>(random.below(33)) / 16 - 1;
  if (seed % 5 == 0 && !values.empty()) values[0] = std::numeric_limits<T>::quiet_NaN();
  if (seed % 11 == 0 && !values.empty()) values.back() = std::numeric_limits<T>::max();
  return values;
}

slidecell_options options(Arguments& a) {
  slidecell_options made{};
  made.num_threads = 1;
  const auto any = [&](int count) {
    const auto value = static_cast<int>(a.below(64));
    return value == 63 ? -1 : value == 62 ? count : value % count;
  };
  const std::size_t what = a.below(8);
  if (what == 0) {
    made.precision = any(4);
    made.reduction = any(3);
    made.aggregate = any(3);
  } else if (what == 1) {
    made.per_feature = 1;
    made.stride = static_cast<std::int64_t>(a.below(5)) - 1;
  } else if (what == 2) {
    made.kernel = any(3);
  }
  return made;
}

// The handles of one input.
class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    for (slidecell_stream* stream : streams_) slidecell_stream_free(stream);
    for (slidecell_monitor* monitor : monitors_) slidecell_monitor_free(monitor);
    for (slidecell_model* model : models_) slidecell_model_free(model);
  }

  // Returns whether the call succeeded.
  bool call(const std::uint8_t* record) {
    Arguments a(record);
    switch (record[0] % kCalls) {
      case 0:
      case 1:
        return load_model(a);
      case 2:
        return free_something(a);
      case 3:
        return ask_model(a);
      case 4:
        return plan_model(a);
      case 5:
        return score<float>(a, slidecell_score);
      case 6:
        return score<double>(a, slidecell_score_f64);
      case 7:
        return score_view(a);
      case 8:
        return starts(a);
      case 9:
        return answer<float>(a, slidecell_predict, true);
      case 10:
        return answer<double>(a, slidecell_predict_f64, true);
      case 11:
        return answer<float>(a, slidecell_encode, false);
      case 12:
        return answer<double>(a, slidecell_encode_f64, false);
      case 13:
      case 14:
        return create(a);
      case 15:
        return save_or_load(a);
      case 16:
        return push(a);
      case 17:
        return push_many<float>(a, slidecell_stream_push_many);
      case 18:
        return push_many<double>(a, slidecell_stream_push_many_f64);
      case 19:
        return ask_stream(a);
      case 20:
        return change_stream(a);
      case 21:
        return watch(a);
      default:
        return choose_isa(a);
    }
  }

 private:
  // An empty slot is a null pointer as well.
  template <class T>
  T* pick(std::array<T*, kSlots>& slots, Arguments& a) {
    T* const found = slots[a.below(kSlots)];
    if (found) return a.or_null(found);
    for (T* other : slots) {
      if (other) return other;
    }
    return nullptr;
  }

  bool load_model(Arguments& a) {
    slidecell_model*& slot = models_[a.below(kSlots)];
    slidecell_model_free(slot);
    slot = nullptr;
    const std::string& path = paths()[a.below(paths().size())];
    slidecell_model** const out = a.or_null(&slot);
    const bool loaded = checked(slidecell_model_load(a.or_null(path.c_str()), out), a);
    if (loaded != (slot != nullptr)) std::abort();
    return loaded;
  }

  bool free_something(Arguments& a) {
    const std::size_t slot = a.below(kSlots);
    switch (a.below(3)) {
      case 0:
        slidecell_model_free(models_[slot]);
        models_[slot] = nullptr;
        break;
      case 1:
        slidecell_stream_free(streams_[slot]);
        streams_[slot] = nullptr;
        break;
      default:
        if (a.rarely()) slidecell_stream_free(slidecell_monitor_stream(monitors_[slot]));
        slidecell_monitor_free(monitors_[slot]);
        monitors_[slot] = nullptr;
    }
    slidecell_model_free(nullptr);
    slidecell_stream_free(nullptr);
    slidecell_monitor_free(nullptr);
    return true;
  }

  bool ask_model(Arguments& a) {
    const slidecell_model* model = pick(models_, a);
    const std::array<std::int64_t, 5> found = {
        slidecell_model_input_size(model), slidecell_model_window(model),
        slidecell_model_horizon(model), slidecell_model_num_targets(model),
        slidecell_model_code_size(model)};
    for (const std::int64_t number : found) {
      if ((number < 0) != (model == nullptr)) std::abort();
    }
    const std::int64_t index = entity_of(a, found[0]);
    const char* const name = slidecell_model_feature(model, index);
    if (name && (index < 0 || index >= found[0])) std::abort();
    slidecell_decision decision;
    const int status = slidecell_model_decision(model, a.or_null(&decision));
    if (!model && status != SLIDECELL_INVALID_ARGUMENT) std::abort();
    return checked(status, a);
  }

  bool plan_model(Arguments& a) {
    const slidecell_model* model = pick(models_, a);
    const slidecell_options given = options(a);
    slidecell_plan plan;
    return checked(
        slidecell_model_plan(model, a.below(4) == 0 ? nullptr : &given, a.or_null(&plan)), a);
  }

  // Offsets of up to three entities; now and then they do not fit.
  std::vector<std::int64_t> offsets(Arguments& a, std::int64_t rows) {
    const std::size_t entities = a.below(4);
    std::vector<std::int64_t> made = {0};
    for (std::size_t g = 1; g < entities; ++g) {
      made.push_back(rows * static_cast<std::int64_t>(g) / static_cast<std::int64_t>(entities));
    }
    if (entities > 0) made.push_back(rows);
    if (a.rarely()) made[a.below(made.size())] = odd_integers()[a.below(odd_integers().size())];
    return made;
  }

  template <class T, class Score>
  bool score(Arguments& a, Score function) {
    slidecell_model* const model = pick(models_, a);
    const auto rows = static_cast<std::int64_t>(a.below(40));
    const std::vector<std::int64_t> bounds = offsets(a, rows);
    const slidecell_options given = options(a);
    const auto series = numbers<T>(rows * slidecell_model_input_size(model), a.rest());
    const std::int64_t columns = given.per_feature ? slidecell_model_num_targets(model) : 1;
    std::vector<float> scores(static_cast<std::size_t>(rows * std::max<std::int64_t>(1, columns)));
    const auto entities = static_cast<std::int64_t>(bounds.size()) - 1;
    const int status =
        function(model, series.data(), a.rarely() ? -rows : rows,
                 entities == 0 ? nullptr : bounds.data(), entities, &given, scores.data());
    if (!model && status != SLIDECELL_INVALID_ARGUMENT) std::abort();
    return checked(status, a);
  }

  // What C has not: other types, and rows that lie in memory in odd ways.
  bool score_view(Arguments& a) {
    slidecell_model* const model = pick(models_, a);
    if (!model) return false;
    const auto F = static_cast<std::ptrdiff_t>(slidecell_model_input_size(model));
    const auto rows = static_cast<std::ptrdiff_t>(a.below(24));
    static constexpr std::array<std::ptrdiff_t, 12> kSizes = {4, 8, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    const std::size_t type = a.below(kSizes.size());
    const std::ptrdiff_t size = kSizes[type], gap = static_cast<std::ptrdiff_t>(a.below(3));
    const bool backwards = a.below(2) == 1, by_column = a.below(2) == 1, still = a.below(8) == 7;
    slidecell::SeriesView view;
    view.dtype = static_cast<slidecell::DType>(type);
    view.rows = rows;
    view.cols = F;
    view.col_stride = by_column ? size * std::max<std::ptrdiff_t>(1, rows) : size;
    view.row_stride = by_column ? size : size * F + gap;  // not aligned where there is a gap
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(
        rows == 0 ? 0 : (rows - 1) * view.row_stride + (F - 1) * view.col_stride + size));
    Random random(a.rest());
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
    if (type == 11) {
      for (std::uint8_t& byte : bytes) byte &= 1;
    }
    view.data = bytes.data();
    if (backwards && rows > 0) {
      view.data = bytes.data() + (rows - 1) * view.row_stride;
      view.row_stride = -view.row_stride;
    }
    if (still) {
      view.data = bytes.data();
      view.row_stride = 0;
    }
    std::vector<float> scores(static_cast<std::size_t>(rows));
    slidecell::ScoreOptions one;
    one.num_threads = 1;
    model->model.score(view, {}, scores.data(), one);
    return true;
  }

  bool starts(Arguments& a) {
    slidecell_model* const model = pick(models_, a);
    const auto rows = static_cast<std::int64_t>(a.below(40));
    const std::vector<std::int64_t> bounds = offsets(a, rows);
    const auto entities = static_cast<std::int64_t>(bounds.size()) - 1;
    const std::int64_t* const given = entities == 0 ? nullptr : bounds.data();
    const std::int64_t stride = a.rarely() ? odd_integers()[a.below(odd_integers().size())]
                                           : static_cast<std::int64_t>(a.below(4));
    std::int64_t n = 0;
    if (!checked(slidecell_num_windows(model, rows, given, entities, stride, a.or_null(&n)), a)) {
      return false;
    }
    std::vector<std::int64_t> first(static_cast<std::size_t>(n));
    const int status = slidecell_window_starts(model, rows, given, entities, stride, first.data());
    for (const std::int64_t row : first) {
      if (row < 0 || row + slidecell_model_window(model) > rows) std::abort();
    }
    return checked(status, a);
  }

  template <class T, class Answer>
  bool answer(Arguments& a, Answer function, bool predicts) {
    slidecell_model* const model = pick(models_, a);
    const auto rows = static_cast<std::int64_t>(a.below(24));
    const std::vector<std::int64_t> bounds = offsets(a, rows);
    const auto entities = static_cast<std::int64_t>(bounds.size()) - 1;
    const std::int64_t* const given = entities == 0 ? nullptr : bounds.data();
    const auto stride = static_cast<std::int64_t>(a.below(4));
    std::int64_t n = 0;
    if (slidecell_num_windows(model, rows, given, entities, stride, &n) != SLIDECELL_OK) n = 0;
    const std::int64_t horizon = slidecell_model_horizon(model);
    const std::int64_t length = horizon > 0 ? horizon : slidecell_model_window(model);
    const std::int64_t size =
        predicts ? length * slidecell_model_num_targets(model) : slidecell_model_code_size(model);
    const auto series = numbers<T>(rows * slidecell_model_input_size(model), a.rest());
    std::vector<float> out(static_cast<std::size_t>(n * std::max<std::int64_t>(0, size)));
    return checked(function(model, series.data(), rows, given, entities, stride, 1, out.data()), a);
  }

  bool create(Arguments& a) {
    const std::size_t slot = a.below(kSlots);
    const bool watched = a.below(3) == 0;
    const slidecell_model* model = pick(models_, a);
    // Nothing between: the memory of a thousand million entities is asked for, and not there.
    std::int64_t entities = static_cast<std::int64_t>(a.below(6));
    if (entities == 5) entities = 40;
    if (entities == 0 && a.rarely()) entities = -1;
    const slidecell_options given = options(a);
    if (watched) {
      slidecell_monitor_free(monitors_[slot]);
      monitors_[slot] = nullptr;
      const bool made = checked(
          slidecell_monitor_create(model, entities, &given, a.or_null(&monitors_[slot])), a);
      if (made != (monitors_[slot] != nullptr)) std::abort();
      return made;
    }
    slidecell_stream_free(streams_[slot]);
    streams_[slot] = nullptr;
    const bool made =
        checked(slidecell_stream_create(model, entities, &given, a.or_null(&streams_[slot])), a);
    if (made != (streams_[slot] != nullptr)) std::abort();
    return made;
  }

  bool save_or_load(Arguments& a) {
    const bool lost = a.rarely();
    // A folder that is not there, or a folder in the file's place; and what an ended process left.
    const std::string path = scratch_folder() + (!lost ? "/state-0" : saved_ ? "/none/state" : "");
    if (lost) std::ofstream(scratch_folder() + "/.slidecell-0123456789abcdef") << "part";
    const std::size_t slot = a.below(kSlots);
    const bool save = a.below(2) == 0;
    if (save && saves_++ == 0) {
      slidecell_stream* const stream = pick(streams_, a);
      const bool done = checked(slidecell_stream_save(stream, a.or_null(path.c_str())), a);
      saved_ = saved_ || done;
      return done;
    }
    if (!saved_) return false;  // what another input has left is none of this one's
    const slidecell_model* model = pick(models_, a);
    slidecell_stream_free(streams_[slot]);
    streams_[slot] = nullptr;
    const bool loaded = checked(
        slidecell_stream_load(model, a.or_null(path.c_str()), a.or_null(&streams_[slot])), a);
    if (loaded != (streams_[slot] != nullptr)) std::abort();
    return loaded;
  }

  bool push(Arguments& a) {
    slidecell_stream* const stream = pick(streams_, a);
    const std::int64_t entity = entity_of(a, slidecell_stream_num_entities(stream));
    const std::size_t times = 1 + a.below(8);
    const bool doubles = a.below(2) == 0;
    const std::uint8_t seed = a.rest();
    const std::int64_t F = slidecell_stream_input_size(stream);
    const auto narrow = numbers<float>(F, seed);
    const auto wide = numbers<double>(F, seed);
    const std::int64_t before = slidecell_stream_rows_seen(stream, entity);
    float score = 0;
    float* const out = a.or_null(&score);
    bool all = true;
    for (std::size_t i = 0; i < times; ++i) {
      const int status = doubles ? slidecell_stream_push_f64(stream, entity, wide.data(), out)
                                 : slidecell_stream_push(stream, entity, narrow.data(), out);
      all = checked(status, a) && all;
    }
    const std::int64_t after = slidecell_stream_rows_seen(stream, entity);
    if (after != (all ? before + static_cast<std::int64_t>(times) : before)) std::abort();
    return all;
  }

  template <class T, class Push>
  bool push_many(Arguments& a, Push function) {
    slidecell_stream* const stream = pick(streams_, a);
    const auto n = static_cast<std::int64_t>(a.below(64));
    std::vector<std::int64_t> entities(static_cast<std::size_t>(n));
    Random random(a.rest());
    const auto known =
        static_cast<std::size_t>(std::max<std::int64_t>(1, slidecell_stream_num_entities(stream)));
    for (std::int64_t& entity : entities) entity = static_cast<std::int64_t>(random.below(known));
    if (n > 0 && a.rarely()) entities.back() = static_cast<std::int64_t>(known);
    const auto rows = numbers<T>(n * slidecell_stream_input_size(stream), a.rest());
    std::vector<float> scores(static_cast<std::size_t>(n));
    const int status =
        function(stream, entities.data(), rows.data(), a.rarely() ? -1 : n, 1, scores.data());
    return checked(status, a);
  }

  // A stream of its own, or a monitor's.
  slidecell_stream* any_stream(Arguments& a) {
    if (a.below(4) > 0) return pick(streams_, a);
    return slidecell_monitor_stream(pick(monitors_, a));
  }

  bool ask_stream(Arguments& a) {
    slidecell_stream* const stream = any_stream(a);
    const std::int64_t entities = slidecell_stream_num_entities(stream);
    const std::int64_t entity = entity_of(a, entities);
    const bool known = entity >= 0 && entity < entities;
    if ((slidecell_stream_rows_seen(stream, entity) >= 0) != known) std::abort();
    if ((slidecell_stream_bytes_per_entity(stream) > 0) != (stream != nullptr)) std::abort();
    slidecell_plan plan;
    checked(slidecell_stream_plan(stream, &plan), a);
    // No model here forecasts more than 2 rows of 3 targets.
    std::vector<float> next(6);
    const int status = slidecell_stream_predict_next(stream, entity, a.or_null(next.data()));
    return checked(status, a);
  }

  bool change_stream(Arguments& a) {
    slidecell_stream* const stream = any_stream(a);
    switch (a.below(8)) {
      case 0:
        return checked(slidecell_stream_set_background(stream, a.below(2) == 0), a);
      case 1:
      case 2:
        return checked(
            slidecell_stream_reset(stream, entity_of(a, slidecell_stream_num_entities(stream))), a);
      default:
        return checked(slidecell_stream_advance(stream), a);
    }
  }

  bool watch(Arguments& a) {
    slidecell_monitor* const monitor = pick(monitors_, a);
    slidecell_stream* const stream = slidecell_monitor_stream(monitor);
    if ((stream == nullptr) != (monitor == nullptr)) std::abort();
    const std::int64_t entity = entity_of(a, slidecell_stream_num_entities(stream));
    const std::size_t what = a.below(8);
    if (what == 0) return checked(slidecell_monitor_reset(monitor, entity), a);
    const std::int64_t F = slidecell_stream_input_size(stream);
    const std::uint8_t seed = a.rest();
    const auto narrow = numbers<float>(F, seed);
    const auto wide = numbers<double>(F, seed);
    slidecell_event event{};
    slidecell_event* const out = a.or_null(&event);
    const double threshold = slidecell_monitor_threshold(monitor);
    bool all = true;
    for (std::size_t i = 0; i < what; ++i) {
      const int status = seed % 2 == 0
                             ? slidecell_monitor_push_f64(monitor, entity, wide.data(), out)
                             : slidecell_monitor_push(monitor, entity, narrow.data(), out);
      all = checked(status, a) && all;
      if (all && (event.alarm != 0) != (event.smoothed > threshold)) std::abort();
    }
    return all;
  }

  static bool choose_isa(Arguments& a) {
    std::vector<const char*> names;
    while (const char* name = slidecell_isa(static_cast<std::int32_t>(names.size()))) {
      names.push_back(name);
    }
    if (slidecell_isa(-1) || names.empty()) std::abort();
    names.push_back("sse");
    slidecell_isa_refusal(names.back());
    const char* active = nullptr;
    checked(slidecell_active_isa(a.or_null(&active)), a);
    return checked(slidecell_set_isa(a.or_null(names[a.below(names.size())])), a);
  }

  std::array<slidecell_model*, kSlots> models_{};
  std::array<slidecell_stream*, kSlots> streams_{};
  std::array<slidecell_monitor*, kSlots> monitors_{};
  int saves_ = 0;
  bool saved_ = false;
};

// The instruction set that the first input found: each begins with it.
void restore_isa() {
  static const std::string first = [] {
    const char* name = nullptr;
    if (slidecell_active_isa(&name) != SLIDECELL_OK) std::abort();
    return std::string(name);
  }();
  if (slidecell_set_isa(first.c_str()) != SLIDECELL_OK) std::abort();
  if (slidecell_version()[0] == '\0') std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts().inputs;
  restore_isa();
  World world;
  std::size_t worked = 0, called = 0;
  for (; called < kMostCalls && (called + 1) * kRecord <= size; ++called) {
    if (world.call(data + called * kRecord)) ++worked;
  }
  // The header of a sequence is the model that all else needs.
  if (worked > 1) ++counts().past_header;
  if (worked == called && called > 0) ++counts().accepted;
  if (worked > 3) ++counts().ran;
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned int seed) {
  Random random(seed);
  std::string calls(reinterpret_cast<const char*>(data), size - size % kRecord);
  const auto place = [&](std::size_t n) { return random.below(n + 1) * kRecord; };
  const auto record = [&](std::size_t call) {
    std::string made(1, static_cast<char>(call));
    for (std::size_t i = 1; i < kRecord; ++i) {
      made += static_cast<char>(random.one_in(12) ? 15 : random.below(random.one_in(2) ? 8 : 256));
    }
    return made;
  };
  const std::size_t n = calls.size() / kRecord;
  switch (n == 0 ? 6 : random.below(7)) {
    case 0:
      if (n > 2) calls.erase(random.below(n) * kRecord, kRecord);
      break;
    case 1:
      calls.insert(place(n), calls.substr(random.below(n) * kRecord, kRecord));
      break;
    case 2: {
      const std::size_t at = random.below(calls.size());
      calls[at] = static_cast<char>(at % kRecord == 0 ? random.below(kCalls) : random.below(256));
      break;
    }
    case 3:
      calls.replace(random.below(n) * kRecord, kRecord, record(random.below(kCalls)));
      break;
    case 4:
      return LLVMFuzzerMutate(data, size, most);
    case 5:
      calls.insert(place(n), record(random.below(kCalls)));
      break;
    default:  // begin anew: a model, a stream, rows
      calls = std::string("\0\0\0\0\0\0\0\0", kRecord);
      calls[2] = static_cast<char>(random.below(kModelFiles));
      calls += record(13) + record(16);
      for (std::size_t i = random.below(6); i-- > 0;) calls += record(random.below(kCalls));
  }
  return copied(calls, data, most);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                                 const std::uint8_t* two, std::size_t two_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned int seed) {
  Random random(seed);
  const std::size_t head = random.below(one_size / kRecord + 1) * kRecord;
  const std::size_t tail = random.below(two_size / kRecord + 1) * kRecord;
  std::string calls(reinterpret_cast<const char*>(one), head);
  calls.append(reinterpret_cast<const char*>(two) + tail, two_size - tail);
  return copied(calls, out, most);
}
