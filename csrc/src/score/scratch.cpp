#include "score/scratch.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "cpu/threads.h"
#include "score/tile_runner.h"
#include "weights/cells.h"

namespace slidecell {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kMostGiB = 4.0;

double thread_bytes(const ModelParts& model, const KernelTable& kernels, const KernelChoice& choice,
                    const WindowPlan& plan, std::int64_t values, Which which) {
  const std::int64_t vectors = tile_vectors(kernels, model, choice);
  const std::int64_t columns = vectors * kernels.lanes;
  const auto rows =
      static_cast<double>(tile_columns(kernels, plan, vectors, model.input_size(), which));
  double floats = rows * static_cast<double>(model.input_size() + 1);
  floats += stack_floats(*model.encoder, columns, model.window, false);
  if (model.decoder) floats += stack_floats(*model.decoder, columns, model.window, true);
  floats += static_cast<double>(model.head->rows() * columns) + inner_floats(*model.head, columns);
  floats += static_cast<double>(model.window) * static_cast<double>(values * columns);
  return floats * sizeof(float);
}

}  // namespace

double stack_floats(const Stack& stack, std::int64_t columns, std::int64_t steps, bool keeps_top) {
  double states = 0, widest = 0;
  const std::vector<LayerSpec>& specs = stack.specs();
  for (std::size_t l = 0; l < specs.size(); ++l) {
    const LayerSpec& spec = specs[l];
    const std::int64_t H = spec.hidden_size;
    const bool late = traits_of(spec).late.count > 0;
    std::int64_t floats = 2 * spec.state_size() + (spec.has_c() ? H : 0) +
                          (spec.proj_size > 0 ? H : 0) + (late ? 2 * H : 0);
    if (spec.bidirectional) floats *= 2;
    if (l > 0) floats += spec.gates() * H;
    states += static_cast<double>(floats);
    const bool kept = keeps_top || l + 1 < specs.size();
    if (kept) widest = std::max(widest, static_cast<double>(spec.output_size()));
  }
  const double sequences = stack.bidirectional() ? 2.0 * static_cast<double>(steps) * widest : 0.0;
  return (states + sequences) * static_cast<double>(columns);
}

int affordable_threads(const ModelParts& model, const KernelTable& kernels,
                       const KernelChoice& choice, const WindowPlan& plan, std::int64_t values,
                       int num_threads, Which which) {
  if (plan.size() == 0) return resolve_threads(num_threads);
  return threads_for_scratch(thread_bytes(model, kernels, choice, plan, values, which), "window",
                             plan.window(), num_threads);
}

int threads_for_scratch(double bytes, const char* argument, std::int64_t value, int num_threads) {
  const int asked = resolve_threads(num_threads);
  const double each = bytes / kGiB;
  if (each > kMostGiB) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "%s: expected one whose tile fits into %.0f GiB, got %lld, which takes "
                  "%.1f GiB per thread",
                  argument, kMostGiB, static_cast<long long>(value), each);
    throw std::invalid_argument(text);
  }
  return static_cast<int>(std::min<double>(asked, std::max(1.0, kMostGiB / each)));
}

}  // namespace slidecell
