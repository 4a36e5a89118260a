// Monitors of the C interface.
#include <limits>
#include <memory>

#include "c_api/errors.h"
#include "c_api/handles.h"

namespace {

using namespace slidecell::c_api;

constexpr const char* kNoMonitor = "monitor: expected a pointer, got NULL";

template <class T>
int push(slidecell_monitor* monitor, int64_t entity, const T* row,
         slidecell_event* event) noexcept {
  if (!monitor) return null_argument(kNoMonitor);
  if (!row) return null_argument("row: expected a pointer, got NULL");
  if (!event) return null_argument("event: expected a pointer, got NULL");
  slidecell::Event found;
  const slidecell::Status status = monitor->monitor.push(entity, row, found);
  if (status == slidecell::Status::ok) *event = {found.score, found.alarm, found.smoothed};
  return report(monitor->monitor.stream(), status, entity);
}

}  // namespace

int slidecell_monitor_create(const slidecell_model* model, int64_t num_entities,
                             const slidecell_options* options, slidecell_monitor** monitor) {
  return guarded([&] {
    require(monitor, "monitor");
    *monitor = nullptr;
    require(model, "model");
    auto made = std::unique_ptr<slidecell_monitor>(new slidecell_monitor{
        slidecell::Monitor(model->model, num_entities, stream_options(options)), {}});
    made->stream.stream = &made->monitor.stream();
    *monitor = made.release();
  });
}

void slidecell_monitor_free(slidecell_monitor* monitor) { delete monitor; }

double slidecell_monitor_threshold(const slidecell_monitor* monitor) {
  return monitor ? monitor->monitor.threshold() : std::numeric_limits<double>::quiet_NaN();
}

slidecell_stream* slidecell_monitor_stream(slidecell_monitor* monitor) {
  return monitor ? &monitor->stream : nullptr;
}

int slidecell_monitor_push(slidecell_monitor* monitor, int64_t entity, const float* row,
                           slidecell_event* event) {
  return push(monitor, entity, row, event);
}
int slidecell_monitor_push_f64(slidecell_monitor* monitor, int64_t entity, const double* row,
                               slidecell_event* event) {
  return push(monitor, entity, row, event);
}

int slidecell_monitor_reset(slidecell_monitor* monitor, int64_t entity) {
  if (!monitor) return null_argument(kNoMonitor);
  return report(monitor->monitor.stream(), monitor->monitor.reset(entity), entity);
}
