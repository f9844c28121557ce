#include "checkpoint/nfc.h"

#include <gtest/gtest.h>

namespace fourstep {
namespace {

TEST(Nfc, ComposesAndReorders) {
  EXPECT_EQ(NormalizeNfc("e\u0301"), "\u00e9");
  EXPECT_EQ(NormalizeNfc("\u212b"), "\u00c5");                           // Angstrom sign
  EXPECT_EQ(NormalizeNfc("\u1100\u1161\u11a8"), "\uac01");               // Hangul
  EXPECT_EQ(NormalizeNfc("a\u0315\u0300\u05ae"), "\u00e0\u05ae\u0315");  // by combining class, then composed
  EXPECT_EQ(NormalizeNfc("\u0958"), "\u0915\u093c");                     // excluded from composition
  EXPECT_EQ(NormalizeNfc("\ufb01 \u00bc"), "\ufb01 \u00bc");             // no compatibility forms
  EXPECT_EQ(NormalizeNfc(""), "");
}

TEST(Nfc, LeavesWhatIsNewerThanUnicode9Alone) {
  EXPECT_EQ(NormalizeNfc("\u0345\u1df6"), "\u0345\u1df6");
  EXPECT_EQ(NormalizeNfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(NormalizeNfc("e\u0301\u0898e\u0301"), "\u00e9\u0898\u00e9");
}

TEST(Nfc, KnowsTextsThatNeedNoWork) {
  EXPECT_TRUE(IsTriviallyNfc("plain \u00e9\u02ff"));
  EXPECT_FALSE(IsTriviallyNfc("e\u0301"));
  EXPECT_TRUE(IsTriviallyNfc(""));
}

}  // namespace
}  // namespace fourstep
