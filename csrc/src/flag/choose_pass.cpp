#include "flag/choose_pass.h"

#include "score/carried.h"
#include "score/choose_kernel.h"
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
      return sampled_pass(model, series, plan, options, Precision::low);
    case Speculate::carried:
    case Speculate::carried_low:
      break;
  }
  check_carried(model, plan.stride(), "speculate", "none");
  return carried_pass(model, series, plan, options,
                      name == Speculate::carried ? Precision::highest : Precision::low);
}

std::vector<std::unique_ptr<CheapPass>> PassMaker::candidates(
    std::vector<std::string>& reasons) const {
  std::vector<std::unique_ptr<CheapPass>> passes;
  const bool low = products_of(model, Precision::low) != Products::float32;
  try {
    passes.push_back(named(Speculate::carried));
    if (low) passes.push_back(named(Speculate::carried_low));
  } catch (const UnsupportedError& error) {
    reasons.push_back(error.what());
  }
  if (low) passes.push_back(named(Speculate::low));
  passes.push_back(named(Speculate::medium));
  return passes;
}

}  // namespace slidecell
