#include "weights/cells.h"

#include <stdexcept>

namespace slidecell {
namespace {

const char* name_of(Cell cell) {
  switch (cell) {
    case Cell::lstm:
      return "lstm";
    case Cell::gru:
      return "gru";
    case Cell::rnn:
      return "rnn";
  }
  return nullptr;
}

const char* title_of(Cell cell) {
  switch (cell) {
    case Cell::lstm:
      return "an LSTM";
    case Cell::gru:
      return "a GRU";
    case Cell::rnn:
      return "an RNN";
  }
  return nullptr;
}

const char* name_of(Activation activation) {
  switch (activation) {
    case Activation::tanh:
      return "tanh";
    case Activation::relu:
      return "relu";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::linear:
      return "linear";
  }
  return nullptr;
}

const char* name_of(RecurrentActivation activation) {
  switch (activation) {
    case RecurrentActivation::sigmoid:
      return "sigmoid";
    case RecurrentActivation::hard_sigmoid:
      return "hard_sigmoid";
  }
  return nullptr;
}

// All of an enumeration, which numbers its own from 0 on.
template <class Enum>
std::vector<std::pair<const char*, Enum>> by_name() {
  std::vector<std::pair<const char*, Enum>> all;
  for (std::uint8_t i = 0; const char* name = name_of(static_cast<Enum>(i)); ++i) {
    all.emplace_back(name, static_cast<Enum>(i));
  }
  return all;
}

constexpr ByForm<CellTraits> make_traits() {
  ByForm<CellTraits> all{};
  for (std::size_t form = 0; form < kCellForms; ++form) {
    all.values[form] = traits_of(static_cast<CellForm>(form));
  }
  return all;
}

}  // namespace

CellForm form_of(const LayerSpec& spec) {
  switch (spec.cell) {
    case Cell::lstm:
      return CellForm::lstm;
    case Cell::gru:
      return spec.reset_after ? CellForm::gru : CellForm::gru_reset_before;
    case Cell::rnn:
      return CellForm::rnn;
  }
  throw std::invalid_argument("cell: not one of the enumeration");
}

const CellTraits& traits_of(const LayerSpec& spec) {
  static constexpr ByForm<CellTraits> kTraits = make_traits();
  return kTraits[form_of(spec)];
}

std::vector<std::pair<const char*, Cell>> cells_by_name() { return by_name<Cell>(); }
std::vector<std::pair<const char*, Activation>> activations_by_name() {
  return by_name<Activation>();
}
std::vector<std::pair<const char*, RecurrentActivation>> recurrent_activations_by_name() {
  return by_name<RecurrentActivation>();
}

CellInfo info_of(Cell cell) {
  LayerSpec spec, other;
  spec.cell = other.cell = cell;
  other.reset_after = !spec.reset_after;
  const CellTraits& traits = traits_of(spec);
  return {title_of(cell), traits.gates, traits.has_c, traits.has_projection,
          form_of(spec) != form_of(other)};
}

std::int64_t LayerSpec::gates() const { return traits_of(*this).gates; }
bool LayerSpec::has_c() const { return traits_of(*this).has_c; }

}  // namespace slidecell
