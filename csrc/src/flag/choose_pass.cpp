#include "flag/choose_pass.h"

#include "score/carried.h"
#include "slidecell/error.hpp"

namespace slidecell {

std::unique_ptr<CheapPass> PassMaker::named(Speculate name) const {
  switch (name) {
    case Speculate::automatic:
    case Speculate::none:
      return nullptr;
    case Speculate::medium:
      return sampled_pass(model, series, plan, options, Precision::medium);
    case Speculate::low:
      throw UnsupportedError("speculate: this build has no 8-bit products, got 'low'");
    case Speculate::carried:
      break;
  }
  check_carried(model, plan.stride(), "speculate", "none");
  return carried_pass(model, series, plan, options);
}

std::vector<std::unique_ptr<CheapPass>> PassMaker::candidates(
    std::vector<std::string>& reasons) const {
  std::vector<std::unique_ptr<CheapPass>> passes;
  try {
    passes.push_back(named(Speculate::carried));
  } catch (const UnsupportedError& error) {
    reasons.push_back(error.what());
  }
  passes.push_back(named(Speculate::medium));
  return passes;
}

}  // namespace slidecell
