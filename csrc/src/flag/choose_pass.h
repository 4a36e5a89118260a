// Which cheap pass a call of `flag` runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "flag/cheap_pass.h"

namespace slidecell {

struct PassMaker {
  const ModelParts& model;
  const SeriesView& series;
  const WindowPlan& plan;
  const ScoreOptions& options;  // of the exact score

  // The pass that was named; null for Speculate::none. Throws UnsupportedError for one that this
  // model or build does not have.
  std::unique_ptr<CheapPass> named(Speculate name) const;
  // Those that this model has; why others are not among them is appended. Carried states come
  // first, those of exact products before the others.
  std::vector<std::unique_ptr<CheapPass>> candidates(std::vector<std::string>& reasons) const;
};

}  // namespace slidecell
