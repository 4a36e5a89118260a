// What one thread of a score takes for its tile, and how many threads that allows.
#pragma once

#include <cstdint>

#include "model/model_parts.h"
#include "score/choose_kernel.h"
#include "score/window_tile.h"
#include "slidecell/windows.hpp"

namespace slidecell {

// num_threads, or fewer where their scratch would exceed 4 GiB together. values: numbers per
// predicted row that are kept besides the tile (0: none). Throws std::invalid_argument where one
// thread's is more: the window comes from a file.
int affordable_threads(const ModelParts& model, const KernelTable& kernels,
                       const KernelChoice& choice, const WindowPlan& plan, std::int64_t values,
                       int num_threads, Which which = Which::all);

// num_threads, or fewer where `bytes` for each would exceed 4 GiB together. Throws
// std::invalid_argument, which names `argument` and its value, where one thread's are more.
int threads_for_scratch(double bytes, const char* argument, std::int64_t value, int num_threads);

// The floats of a stack on `columns` columns: states and, where a layer runs in both directions,
// hidden sequences of `steps` steps. As double: sizes from a file may overflow an integer.
double stack_floats(const Stack& stack, std::int64_t columns, std::int64_t steps, bool keeps_top);

}  // namespace slidecell
