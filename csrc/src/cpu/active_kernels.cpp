#include "cpu/active_kernels.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "cpu/isas.h"
#include "slidecell/cpu.hpp"
#include "slidecell/error.hpp"

namespace slidecell {
namespace {

const KernelTable* find_isa(const std::string& name) {
  std::string names;
  for (const Isa& isa : isas()) {
    if (name == isa.kernels->isa && isa.available()) return isa.kernels;
    if (isa.available()) names += (names.empty() ? "" : ", ") + std::string(isa.kernels->isa);
  }
  std::string why;
  for (const Isa& isa : isas()) {
    if (name == isa.kernels->isa) why = ": " + isa.refusal;
  }
  throw UnsupportedError("isa: expected one of " + names + ", got '" + name + "'" + why);
}

std::atomic<const KernelTable*> chosen{nullptr};
std::atomic<bool> named{false};

const KernelTable* initial_kernels() {
  if (const char* forced = std::getenv("SLIDECELL_ISA"); forced && *forced) {
    try {
      const KernelTable* found = find_isa(forced);
      named = true;
      return found;
    } catch (const UnsupportedError& e) {
      throw UnsupportedError(std::string("SLIDECELL_ISA: ") + e.what());
    }
  }
  const KernelTable* best = nullptr;
  for (const Isa& isa : isas()) {
    if (isa.available()) best = isa.kernels;
  }
  return best;
}

}  // namespace

const KernelTable& active_kernels() {
  const KernelTable* kernels = chosen;
  if (kernels) return *kernels;
  // Another thread's set_isa meanwhile wins: then `kernels` is what it chose.
  const KernelTable* initial = initial_kernels();
  return chosen.compare_exchange_strong(kernels, initial) ? *initial : *kernels;
}

bool isa_was_named() { return named; }

const KernelTable& kernels_named(const std::string& name) { return *find_isa(name); }

std::size_t isa_index(const KernelTable& kernels) {
  std::size_t i = 0;
  while (i < isas().size() && isas()[i].kernels != &kernels) ++i;
  return i < isas().size() ? i : kMaxIsas - 1;
}

void use_kernels(const KernelTable& kernels) { chosen = &kernels; }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa& isa : isas()) {
    if (isa.available()) names.emplace_back(isa.kernels->isa);
  }
  return names;
}

std::map<std::string, std::string> refused_isas() {
  std::map<std::string, std::string> reasons;
  for (const Isa& isa : isas()) {
    if (!isa.available()) reasons[isa.kernels->isa] = isa.refusal;
  }
  return reasons;
}

std::string active_isa() { return active_kernels().isa; }

void set_isa(const std::string& name) {
  const KernelTable* found = find_isa(name);
  named = true;
  chosen = found;
}

}  // namespace slidecell
