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
      return sampled_pass(model, series, plan, options, Precision::low);
    case Speculate::carried:
      break;
  }
  check_carried(model, plan.stride());
  return carried_pass(model, series, plan, options);
}

std::vector<std::unique_ptr<CheapPass>> PassMaker::candidates(
    std::vector<std::string>& reasons) const {
  std::vector<std::unique_ptr<CheapPass>> passes;
  try {
    passes.push_back(named(Speculate::carried));
  } catch (const UnsupportedError& error) {
    reasons.push_back(std::string("carried: ") + error.what());
  }
  passes.push_back(named(Speculate::medium));
  return passes;
}

}  // namespace slidecell
