#include "analysis/chart.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "base/check.h"
#include "base/file.h"

namespace fourstep {
namespace {

// Okabe and Ito's palette: told apart by the colour-blind. Blue, orange, green, purple.
constexpr const char* kColours[] = {"#0072B2", "#E69F00", "#009E73", "#CC79A7"};
constexpr size_t kNumColours = 4;

// Quoted for gnuplot, which reads ' inside '...' as ''. Control characters would end a line of the script.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) continue;
    quoted += c;
    if (c == '\'') quoted += c;
  }
  return quoted + "'";
}

std::string DataOfLines(const Chart& chart) {
  std::string data;
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    data += fmt::format("$data{} << EOD\n", i);
    for (const auto& [x, y] : chart.lines[i].points) data += fmt::format("{:.6g} {:.6g}\n", x, y);
    data += "EOD\n";
  }
  return data;
}

std::string PlotOfLines(const Chart& chart) {
  std::string plot = "plot ";
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    plot += fmt::format("{}$data{} using 1:2 with lines lw 3 dt {} lc rgb '{}' title {}", i == 0 ? "" : ", ",
                        i, i + 1, kColours[i % kNumColours], Quoted(chart.lines[i].name));
  }
  return plot + "\n";
}

// A bar's place: categories at 0, 1, 2, ..., series side by side within 0.8 of that.
double PlaceOf(const Chart& chart, size_t category, size_t series) {
  const auto num_series = static_cast<double>(chart.bars.size());
  return static_cast<double>(category) + 0.8 * ((static_cast<double>(series) + 0.5) / num_series - 0.5);
}

bool HasInterval(const ChartBars::Bar& bar) {
  return std::isfinite(bar.low) && std::isfinite(bar.high) && bar.low < bar.high;
}

std::string DataOfBars(const Chart& chart) {
  std::string data;
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    const std::vector<ChartBars::Bar>& bars = chart.bars[i].bars;
    FOURSTEP_CHECK(bars.size() == chart.categories.size(), "{} bars, {} categories", bars.size(),
                   chart.categories.size());
    std::string values, intervals;
    for (size_t c = 0; c < bars.size(); ++c) {
      const double place = PlaceOf(chart, c, i);
      values += fmt::format("{:.4f} {:.6g}\n", place, bars[c].value);
      if (HasInterval(bars[c])) {
        intervals +=
            fmt::format("{:.4f} {:.6g} {:.6g} {:.6g}\n", place, bars[c].value, bars[c].low, bars[c].high);
      }
    }
    data += fmt::format("$data{0} << EOD\n{1}EOD\n$intervals{0} << EOD\n{2}EOD\n", i, values, intervals);
  }
  return data;
}

std::string PlotOfBars(const Chart& chart) {
  std::string tics;
  for (size_t c = 0; c < chart.categories.size(); ++c) {
    tics += fmt::format("{}{} {}", c == 0 ? "" : ", ", Quoted(chart.categories[c]), c);
  }
  std::string plot = fmt::format(
      "set xtics rotate by -30 ({})\nset xrange [-0.6:{}]\nset yrange [0:*]\nset boxwidth {:.4f}\nplot ",
      tics, static_cast<double>(chart.categories.size()) - 0.4, 0.8 / static_cast<double>(chart.bars.size()));
  for (size_t i = 0; i < chart.bars.size(); ++i) {
    plot += fmt::format("{}$data{} using 1:2 with boxes fs pattern {} lc rgb '{}' title {}",
                        i == 0 ? "" : ", ", i, 3 + i, kColours[i % kNumColours], Quoted(chart.bars[i].name));
    if (std::any_of(chart.bars[i].bars.begin(), chart.bars[i].bars.end(), HasInterval)) {
      // Error bars of gnuplot's own have a white dot in the middle, or one of size 0, which librsvg refuses.
      plot += fmt::format(
          ", $intervals{} using 1:3:(0):($4-$3) with vectors heads size 0.04,90 lw 1.5 lc rgb 'black' "
          "notitle",
          i);
    }
  }
  return plot + "\n";
}

// The exit status of gnuplot reading `script`; nothing is printed.
int RunGnuplot(const std::filesystem::path& script, const std::filesystem::path& folder) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  const std::string path = script.string();
  // -d: nobody's own settings.
  const char* arguments[] = {"gnuplot", "-d", path.c_str(), nullptr};
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, "gnuplot", &actions, nullptr, const_cast<char**>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    return -1;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string GnuplotScript(const Chart& chart) {
  const bool has_lines = !chart.lines.empty();
  std::string script = has_lines ? DataOfLines(chart) : DataOfBars(chart);
  script += "set encoding utf8\n";
  script += fmt::format("set title {} noenhanced\nset xlabel {} noenhanced\nset ylabel {} noenhanced\n",
                        Quoted(chart.title), Quoted(chart.x_label), Quoted(chart.y_label));
  script +=
      "set key outside top center horizontal noenhanced\nset xtics noenhanced\nset grid ytics lc rgb "
      "'#cccccc'\nset border 3\nset tics "
      "nomirror\n";
  const std::string plot = has_lines ? PlotOfLines(chart) : PlotOfBars(chart);
  for (const auto& [suffix, terminal] :
       {std::pair("svg", "svg size 760,440 font 'Helvetica,13' background 'white'"),
        std::pair("png", "pngcairo size 1140,660 font 'Helvetica,13' background 'white'")}) {
    script += fmt::format("set terminal {}\nset output {}\n{}set output\n", terminal,
                          Quoted(chart.file + "." + suffix), plot);
  }
  return script;
}

bool DrawCharts(const std::vector<Chart>& charts, const std::filesystem::path& folder) {
  for (const Chart& chart : charts) {
    const std::filesystem::path script = std::filesystem::absolute(folder) / (chart.file + ".gnuplot");
    WriteFile(script, GnuplotScript(chart));
    const int status = RunGnuplot(script, folder);
    if (status == -1 || status == 127) {
      std::filesystem::remove(script);
      return false;
    }
    if (status != 0) {
      throw std::runtime_error(fmt::format("gnuplot failed with status {} on {}", status, script.string()));
    }
    std::filesystem::remove(script);
  }
  return true;
}

}  // namespace fourstep
