// The instruction sets, as static strings.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "c_api/errors.h"
#include "slidecell/cpu.hpp"
#include "slidecell/slidecell.h"

namespace {

// Copies that live as long as the program: what a CPU offers does not change.
const std::vector<std::string>& names() {
  static const std::vector<std::string> list = slidecell::available_isas();
  return list;
}
const std::map<std::string, std::string>& refusals() {
  static const std::map<std::string, std::string> reasons = slidecell::refused_isas();
  return reasons;
}

}  // namespace

const char* slidecell_isa(int32_t index) {
  const char* name = nullptr;
  slidecell::c_api::guarded([&] {
    if (index < 0 || static_cast<std::size_t>(index) >= names().size()) return;
    name = names()[static_cast<std::size_t>(index)].c_str();
  });
  return name;
}

const char* slidecell_isa_refusal(const char* name) {
  const char* reason = nullptr;
  slidecell::c_api::guarded([&] {
    if (!name) return;
    const auto found = refusals().find(name);
    if (found != refusals().end()) reason = found->second.c_str();
  });
  return reason;
}

int slidecell_active_isa(const char** name) {
  return slidecell::c_api::guarded([&] {
    slidecell::c_api::require(name, "name");
    *name = nullptr;
    // The active one is available, and so in the list.
    *name = std::find(names().begin(), names().end(), slidecell::active_isa())->c_str();
  });
}

int slidecell_set_isa(const char* name) {
  return slidecell::c_api::guarded([&] {
    slidecell::c_api::require(name, "name");
    slidecell::set_isa(name);
  });
}

int32_t slidecell_default_num_threads(void) { return slidecell::default_num_threads(); }
int32_t slidecell_had_fewer_threads(void) { return slidecell::had_fewer_threads() ? 1 : 0; }
