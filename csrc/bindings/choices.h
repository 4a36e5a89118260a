// Options that Python names by strings, and plans as dicts.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "slidecell/model.hpp"

template <class Enum>
using Choices = std::vector<std::pair<const char*, Enum>>;

template <class Enum>
Enum choose(const char* argument, const std::string& value, const Choices<Enum>& choices) {
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (value == name) return choice;
    names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
  }
  throw py::value_error(std::string(argument) + ": expected one of " + names + ", got '" + value +
                        "'");
}

inline slidecell::Precision precision_of(const std::string& value) {
  return choose<slidecell::Precision>("precision", value,
                                      {{"highest", slidecell::Precision::highest},
                                       {"high", slidecell::Precision::high},
                                       {"medium", slidecell::Precision::medium},
                                       {"low", slidecell::Precision::low}});
}
inline slidecell::Kernel kernel_of(const std::string& value) {
  return choose<slidecell::Kernel>("kernel", value,
                                   {{"auto", slidecell::Kernel::automatic},
                                    {"fma", slidecell::Kernel::fma},
                                    {"matrix", slidecell::Kernel::matrix}});
}
inline slidecell::Reduction reduction_of(const std::string& value) {
  return choose<slidecell::Reduction>("reduction", value,
                                      {{"mse", slidecell::Reduction::mse},
                                       {"mae", slidecell::Reduction::mae},
                                       {"mahalanobis", slidecell::Reduction::mahalanobis},
                                       {"nll", slidecell::Reduction::nll},
                                       {"calibrated", slidecell::Reduction::calibrated}});
}
inline slidecell::Aggregate aggregate_of(const std::string& value) {
  return choose<slidecell::Aggregate>("aggregate", value,
                                      {{"window", slidecell::Aggregate::window},
                                       {"last", slidecell::Aggregate::last},
                                       {"mean", slidecell::Aggregate::mean}});
}
inline slidecell::Windows windows_of(const std::string& value, const char* argument = "windows") {
  return choose<slidecell::Windows>(
      argument, value,
      {{"exact", slidecell::Windows::exact}, {"carried", slidecell::Windows::carried}});
}

inline slidecell::Speculate speculate_of(const std::string& value) {
  return choose<slidecell::Speculate>("speculate", value,
                                      {{"auto", slidecell::Speculate::automatic},
                                       {"carried", slidecell::Speculate::carried},
                                       {"carried_low", slidecell::Speculate::carried_low},
                                       {"low", slidecell::Speculate::low},
                                       {"medium", slidecell::Speculate::medium},
                                       {"none", slidecell::Speculate::none}});
}

inline py::dict plan_dict(const slidecell::KernelPlan& plan) {
  py::dict result;
  result["isa"] = plan.isa;
  result["kernel"] = plan.kernel;
  result["precision"] = plan.precision;
  result["tile"] = plan.tile;
  result["threads"] = plan.threads;
  return result;
}
