// Charts, drawn by gnuplot as SVG and PNG: for print and for eyes that see few colours, series differ in
// pattern too.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace fourstep {

struct ChartLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // finite
};

// A group of bars beside each other for every category.
struct ChartBars {
  struct Bar {
    double value = 0, low = 0, high = 0;  // an interval, drawn where low < high
  };
  std::string name;
  std::vector<Bar> bars;  // [categories]
};

struct Chart {
  std::string file;  // without a suffix: "entropy_by_decile"
  std::string title, x_label, y_label;
  std::vector<ChartLine> lines = {};         // either these
  std::vector<std::string> categories = {};  // or these
  std::vector<ChartBars> bars = {};          // with the categories
};

// What gnuplot is told to write `chart` as SVG and PNG into its working folder.
std::string GnuplotScript(const Chart& chart);

// Writes FILE.svg and FILE.png of every chart into `folder`, which exists. False where this machine has no
// gnuplot; throws std::runtime_error where it fails.
bool DrawCharts(const std::vector<Chart>& charts, const std::filesystem::path& folder);

}  // namespace fourstep
