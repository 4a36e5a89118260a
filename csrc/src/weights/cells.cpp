#include "weights/cells.h"

#include <stdexcept>

namespace slidecell {
namespace {

constexpr Cell kCells[] = {Cell::lstm, Cell::gru, Cell::rnn};

const char* name_of(Cell cell) {
  switch (cell) {
    case Cell::lstm:
      return "lstm";
    case Cell::gru:
      return "gru";
    case Cell::rnn:
      return "rnn";
  }
  throw std::invalid_argument("cell: not one of the enumeration");
}

constexpr ByForm<CellTraits> make_traits() {
  ByForm<CellTraits> all{};
  for (std::size_t form = 0; form < kCellForms; ++form) {
    all.values[form] = traits_of(static_cast<CellForm>(form));
  }
  return all;
}

}  // namespace

const char* title_of(Cell cell) {
  switch (cell) {
    case Cell::lstm:
      return "an LSTM";
    case Cell::gru:
      return "a GRU";
    case Cell::rnn:
      return "an RNN";
  }
  throw std::invalid_argument("cell: not one of the enumeration");
}

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

std::vector<std::pair<const char*, Cell>> cells_by_name() {
  std::vector<std::pair<const char*, Cell>> cells;
  for (const Cell cell : kCells) cells.emplace_back(name_of(cell), cell);
  return cells;
}

std::int64_t LayerSpec::gates() const { return traits_of(*this).gates; }
bool LayerSpec::has_c() const { return traits_of(*this).has_c; }

}  // namespace slidecell
