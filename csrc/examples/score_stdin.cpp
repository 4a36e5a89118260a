// Scores rows as they come: slidecell_score_stdin MODEL [--entities N] [--skip-bad] [--state FILE]
//
// A line of stdin is a row: a number per feature, with commas between them, an empty field for a
// missing value. With --entities N (2 or more) the line begins with an entity, 0 to N-1. A first
// line without any number is the names of the columns: where the model knows its features' names,
// it finds them there and skips the others (times, labels). The answer
// is a line of stdout, written at once: the row's score, empty where it has none.
// A blank line is a row without a value, answered by an empty line; with entities nobody knows
// whose: it is reported and left out.
// A bad line ends the program with its number; --skip-bad reports it and goes on without an answer.
// The entity whose row it was, where that is known, then has a row without a value in its place: no
// window reaches across it.
// --state FILE: goes on from the file where there is one, and writes it at the end.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "input.hpp"
#include "slidecell/slidecell.hpp"

namespace {

using example::InputError;

struct Options {
  std::string model, state;
  std::int64_t entities = 1;
  bool skip_bad = false;
};

Options read_options(example::Arguments arguments) {
  Options options;
  options.model = arguments.positional("MODEL");
  while (!arguments.done()) {
    if (arguments.flag("--entities")) {
      options.entities = arguments.number("--entities", 1, 1000000);
    } else if (arguments.flag("--state")) {
      options.state = arguments.text("--state");
    } else if (arguments.flag("--skip-bad")) {
      options.skip_bad = true;
    } else {
      arguments.refuse();
    }
  }
  return options;
}

slidecell::Stream open_stream(const slidecell::SequenceModel& model, const Options& options) {
  if (options.state.empty() || !std::filesystem::exists(options.state)) {
    slidecell::StreamOptions scores;
    scores.reduction = model.reduction().value_or(scores.reduction);
    return {model, options.entities, scores};
  }
  auto stream = slidecell::Stream::load(model, options.state);
  if (stream.num_entities() != options.entities) {
    throw InputError(options.state + ": expected --entities " +
                     std::to_string(stream.num_entities()) + ", got " +
                     std::to_string(options.entities));
  }
  return stream;
}

// Throws InputError; the stream is then as it was.
float push_line(slidecell::Stream& stream, const std::vector<std::string_view>& texts,
                const example::Columns& columns, std::vector<double>& row) {
  const std::size_t first = stream.num_entities() > 1 ? 1 : 0;
  example::parse_row(texts, columns, row.data());
  std::int64_t entity = 0;
  if (first == 1 && !example::parse_number(texts[0], entity)) {
    throw InputError("entity: expected a number, got '" + std::string(texts[0]) + "'");
  }
  float score = 0.0f;
  if (stream.push(entity, row.data(), score) != slidecell::Status::ok) {
    throw InputError("entity: expected 0 to " + std::to_string(stream.num_entities() - 1) +
                     ", got " + std::to_string(entity));
  }
  return score;
}

// A row without a value of the entity whose line could not be read; none where it is not known.
void push_missing(slidecell::Stream& stream, const std::vector<std::string_view>& texts,
                  std::vector<double>& row) {
  std::int64_t entity = 0;
  if (stream.num_entities() > 1 && !example::parse_number(texts[0], entity)) return;
  std::fill(row.begin(), row.end(), std::numeric_limits<double>::quiet_NaN());
  float score = 0.0f;
  if (stream.push(entity, row.data(), score) == slidecell::Status::ok) stream.advance();
}

bool answer(float score) {
  const int written =
      std::isnan(score) ? std::printf("\n") : std::printf("%.9g\n", static_cast<double>(score));
  return written > 0 && std::fflush(stdout) == 0;
}

void run(const Options& options) {
  const auto model = slidecell::SequenceModel::load(options.model);
  slidecell::Stream stream = open_stream(model, options);
  std::vector<double> row(static_cast<std::size_t>(stream.input_size()));

  auto columns = example::columns_in_order(options.entities > 1 ? 1 : 0, row.size());

  std::int64_t rows = 0, bad = 0;
  bool open = true;
  std::string line;
  for (std::int64_t number = 1; open && std::getline(std::cin, line); ++number) {
    const std::string_view text = number == 1 ? example::without_mark(line) : line;
    const bool blank = example::trimmed(text).empty();
    if (blank && options.entities > 1) {
      std::fprintf(stderr, "line %lld: blank, left out\n", static_cast<long long>(number));
    }
    if (blank && (options.entities > 1 || rows + bad == 0)) continue;
    const auto texts = blank ? std::vector<std::string_view>(columns.count) : example::fields(text);
    try {
      if (number == 1 && example::is_header(texts)) {
        if (!model.features().empty()) columns = example::columns_by_name(texts, model.features());
        continue;
      }
      open = answer(push_line(stream, texts, columns, row));
      ++rows;
      stream.advance();  // while the next line is still on its way
    } catch (const InputError& e) {
      const std::string message = "line " + std::to_string(number) + ": " + e.what();
      if (!options.skip_bad) {
        if (!options.state.empty()) stream.save(options.state);
        throw InputError(message);
      }
      std::fprintf(stderr, "%s: skipped\n", message.c_str());
      push_missing(stream, texts, row);
      ++bad;
    }
  }
  if (!options.state.empty()) stream.save(options.state);
  std::fprintf(stderr, "%lld rows, %lld bad lines%s\n", static_cast<long long>(rows),
               static_cast<long long>(bad), open ? "" : "; stdout was closed");
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away shows as a failed write, so that the state is still saved.
  std::signal(SIGPIPE, SIG_IGN);
  return example::run_main(
      argc, argv, "MODEL [--entities N] [--skip-bad] [--state FILE]",
      [](example::Arguments arguments) { run(read_options(std::move(arguments))); });
}
