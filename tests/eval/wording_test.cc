#include "eval/wording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace fourstep {
namespace {

std::string Said(const Wording& wording, std::initializer_list<std::string_view> slots, uint64_t seed = 0) {
  PhiloxStream random(seed);
  Writer writer(random);
  writer.Say(wording, slots);
  return writer.text();
}

TEST(Wording, KeepsTextAndFillsSlots) {
  EXPECT_EQ(Said("plain text.", {}), "plain text.");
  EXPECT_EQ(Said("", {}), "");
  EXPECT_EQ(Said("{0}={1}={0}", {"a", "b"}), "a=b=a");
  EXPECT_EQ(Said("{1}{0}", {"[x|y]", "{0}"}), "{0}[x|y]") << "slots are no patterns";
  EXPECT_EQ(Said("[only]", {}), "only");
  EXPECT_EQ(Said("a[|]b", {}), "ab");
}

TEST(Wording, SplitsPatternsIntoParts) {
  const Wording wording("a[b|c|]d{2}");
  ASSERT_EQ(wording.parts().size(), 4u);
  EXPECT_EQ(wording.parts()[0].text, "a");
  EXPECT_THAT(wording.parts()[1].alternatives, testing::ElementsAre("b", "c", ""));
  EXPECT_EQ(wording.parts()[2].text, "d");
  EXPECT_EQ(wording.parts()[3].slot, 2);
}

TEST(Wording, WeighsAlternativesByTheirPlace) {
  const Wording wording("[a|b|c~1.5]");
  const auto& part = wording.parts()[0];
  ASSERT_EQ(part.alternatives.size(), 3u);
  EXPECT_EQ(part.alternatives[2], "c");
  const double total = 1 + std::exp(-1.5) + std::exp(-3.0);
  EXPECT_NEAR(part.cumulative[0], 1 / total, 1e-12);
  EXPECT_NEAR(part.cumulative[1], (1 + std::exp(-1.5)) / total, 1e-12);
  EXPECT_EQ(part.cumulative[2], 1);
}

TEST(Wording, TakesSteepnessFromAHashWhereNoneIsGiven) {
  for (const char* pattern : {"[a|b]", "[c|d]", "[Now|Next]", "[.|!]"}) {
    const Wording wording(pattern);
    const auto& part = wording.parts()[0];
    const double steepness = std::log(part.cumulative[0] / (1 - part.cumulative[0]));
    EXPECT_GE(steepness, 0.7) << pattern;
    EXPECT_LE(steepness, 1.7) << pattern;
    EXPECT_EQ(part.cumulative, Wording(pattern).parts()[0].cumulative);
  }
  EXPECT_NE(Wording("[a|b]").parts()[0].entropy, Wording("[c|d]").parts()[0].entropy);
}

TEST(Writer, DrawsAlternativesWithTheirWeights) {
  const Wording wording("[a|b|c|d~0.5]");
  const auto& part = wording.parts()[0];
  constexpr int kDraws = 40'000;
  std::map<char, int> counts;
  PhiloxStream random(1);
  Writer writer(random);
  for (int i = 0; i < kDraws; ++i) writer.Say(wording);
  for (const char c : writer.text()) ++counts[c];
  double chi_squared = 0;
  for (int i = 0; i < 4; ++i) {
    const double p = part.cumulative[i] - (i > 0 ? part.cumulative[i - 1] : 0), expected = p * kDraws;
    const double difference = counts["abcd"[i]] - expected;
    chi_squared += difference * difference / expected;
  }
  EXPECT_LT(chi_squared, 16.3);  // 0.999 of three degrees of freedom
}

TEST(Writer, DecidesByWeights) {
  const std::string options[] = {"x", "y", "z"};
  const double weights[] = {1, 2, 5};
  PhiloxStream random(2);
  Writer writer(random);
  int counts[3] = {};
  for (int i = 0; i < 8000; ++i) ++counts[writer.Decide(options, weights)];
  EXPECT_NEAR(counts[0], 1000, 120);
  EXPECT_NEAR(counts[1], 2000, 160);
  EXPECT_NEAR(counts[2], 5000, 180);
  EXPECT_EQ(writer.text().size(), 8000u);
}

TEST(Writer, RecordsWhereItChose) {
  PhiloxStream random(3);
  Writer writer(random, /*record_choices=*/true);
  writer.Say("ab[c|d~1]e[f|g~1]");
  ASSERT_EQ(writer.choices().size(), 2u);
  EXPECT_EQ(writer.choices()[0].offset_bytes, 2u);
  EXPECT_EQ(writer.choices()[1].offset_bytes, 4u);
  const double p = 1 / (1 + std::exp(-1.0)), entropy = -p * std::log(p) - (1 - p) * std::log(1 - p);
  EXPECT_NEAR(writer.choices()[0].entropy, entropy, 1e-12);
}

// Which byte decides among "10", "12", "2" and "1"? The first between 1 and 2, the second between 0, 2 and
// the end.
TEST(Writer, RecordsADecisionByteByByte) {
  const std::string options[] = {"10", "12", "2", "1"};
  const double weights[] = {1, 1, 2, 2};
  for (uint64_t seed = 0; seed < 20; ++seed) {
    PhiloxStream random(seed);
    Writer writer(random, true);
    writer.Text("=");
    const std::string chosen = options[writer.Decide(options, weights)];
    ASSERT_EQ(writer.choices().size(), chosen == "2" ? 1u : 2u);
    EXPECT_EQ(writer.choices()[0].offset_bytes, 1u);
    EXPECT_NEAR(writer.choices()[0].entropy, std::log(3.0) - 2.0 / 3 * std::log(2.0), 1e-12);
    if (chosen == "2") continue;
    EXPECT_EQ(writer.choices()[1].offset_bytes, 2u);
    EXPECT_NEAR(writer.choices()[1].entropy, 1.5 * std::log(2.0), 1e-12);
  }
}

// The entropies of the bytes of a decision add up, in the mean, to that of the decision.
TEST(Writer, ADecisionsEntropiesAddUp) {
  const std::string options[] = {"12", "123", "13", "7", "71"};
  const double weights[] = {1, 2, 3, 4, 5};
  PhiloxStream random(4);
  double recorded = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    Writer writer(random, true);
    writer.Decide(options, weights);
    for (const auto& choice : writer.choices()) recorded += choice.entropy / kDraws;
  }
  double entropy = 0;
  for (const double w : weights) entropy -= w / 15 * std::log(w / 15);
  EXPECT_NEAR(recorded, entropy, 0.02);
}

TEST(Writer, RecordingChangesNoWord) {
  const Wording wording("[a|b] [c|d] {0}[.|!]");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    PhiloxStream plain_random(seed), recording_random(seed);
    Writer plain(plain_random), recording(recording_random, true);
    for (Writer* writer : {&plain, &recording}) {
      const std::string options[] = {"yes", "no"};
      const double weights[] = {1, 1};
      writer->Say(wording, {"x"});
      writer->Decide(options, weights);
    }
    EXPECT_EQ(plain.text(), recording.text());
    EXPECT_TRUE(plain.choices().empty());
  }
}

TEST(Writer, RewindForgetsTextAndChoices) {
  PhiloxStream random(5);
  Writer writer(random, true);
  writer.Say("[a|b]");
  const size_t length = writer.text().size();
  writer.Say("[c|d][e|f]");
  writer.Rewind(length);
  EXPECT_EQ(writer.text().size(), length);
  EXPECT_EQ(writer.choices().size(), 1u);
  writer.Rewind(0);
  EXPECT_EQ(writer.text(), "");
  EXPECT_TRUE(writer.choices().empty());
}

TEST(WritingDeathTest, MistakesInPatternsStopTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Wording("[a|b"), "does not close");
  EXPECT_DEATH(Wording("{0"), "does not close");
  EXPECT_DEATH(Said("{1}", {"a"}), "slot 1 of 1");
}

}  // namespace
}  // namespace fourstep
