// ledger: look-ups across three tables that are joined by long codes, many of them alike, then products and
// sums. Every row is copied into the reasoning, so a wrongly copied symbol costs the answer.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eval/answer.h"
#include "eval/task.h"

namespace fourstep {
namespace {

enum Knobs { kOrders, kItems, kShops, kAsked, kLength, kSimilar };
constexpr Knob kKnobs[] = {
    {"orders", "rows of the first table", {2, 10}, {2, 8}, {6, 6}},
    {"items", "rows of the second table", {2, 10}, {2, 8}, {6, 6}},
    {"shops", "rows of the third table", {1, 6}, {1, 4}, {4, 4}},
    {"asked", "orders that the question adds up", {1, 6}, {1, 4}, {3, 3}},
    {"length", "symbols of a code", {4, 16}, {4, 8}, {7, 7}},
    {"similar",
     "percentage of codes made by changing one or two symbols of another",
     {0, 100},
     {0, 90},
     {70, 70}},
};

const Wording kCheck =
    "[Checking|Reading|Comparing|Matching][ it| the row| each symbol][ again| carefully| once more|, yes][: "
    "fine|, good|. Right|; okay][.|!|, on.] ";
const Wording kLookUp = "[First|Now|Next|Then|Okay], [order|number|entry] {0}";
const Wording kOrder = "[ wants| needs| asks for| takes] {0} of {1}[.|;|, good.] ";
const Wording kItem =
    "[Item|There|Here] {0}[ costs| is sold at| has price] {1}[,| and|;][ comes| ships| arrives] from "
    "{2}[.|;|, good.] ";
const Wording kShop = "[Shop|There|Here] {0}[ adds| charges| takes] {1}[.|;|, good.] ";
const Wording kCost =
    "[So|Thus|Here|Hence] {0}*{1}={2}[,| and|; then| so] {2}+{3}={4}[.|!| here.| in all.]\n\n";
const Wording kSum = "[Adding|Summing|Together][ up|, we have|:] {0}+{1}={2}[.|!|;] ";
const Wording kDone = "[That|This][ is| makes| gives] {0}[ altogether| in the end| for all][.|!]\n\n";
const Wording kAnswer = "[The total|Altogether it|The whole sum][ is| comes to| equals]";

struct Order {
  std::string code;
  int quantity;
  size_t item;
};
struct Item {
  std::string code;
  int price;
  size_t shop;
};
struct Shop {
  std::string code;
  int fee;
};

// Codes of one problem: distinct, some of them a slip away from another.
class Codes {
 public:
  Codes(int length, int similar_percent, PhiloxStream& random)
      : length_(static_cast<size_t>(length)), similar_percent_(similar_percent), random_(random) {}

  std::string Next() {
    for (;;) {
      std::string code;
      if (!all_.empty() && random_.Below(100) < static_cast<uint32_t>(similar_percent_)) {
        code = all_[random_.Below(static_cast<uint32_t>(all_.size()))];
        for (uint32_t i = 0, changes = 1 + random_.Below(2); i < changes; ++i) {
          code[1 + random_.Below(static_cast<uint32_t>(length_))] = Symbol();
        }
      } else {
        code = "#";
        while (code.size() <= length_) code += Symbol();
      }
      if (std::find(all_.begin(), all_.end(), code) == all_.end()) {
        all_.push_back(code);
        return code;
      }
    }
  }

 private:
  char Symbol() {  // without 0, 1, I and O, which people confuse
    constexpr std::string_view kSymbols = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    return kSymbols[random_.Below(static_cast<uint32_t>(kSymbols.size()))];
  }
  size_t length_;
  int similar_percent_;
  PhiloxStream& random_;
  std::vector<std::string> all_;
};

template <class T>
void Shuffle(std::vector<T>& items, PhiloxStream& random) {
  for (size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[random.Below(static_cast<uint32_t>(i))]);
}

std::string Lines(std::string_view title, const std::vector<std::string>& rows) {
  return fmt::format("{}: {}.\n", title, fmt::join(rows, "; "));
}

class Ledger final : public GeneratedTask {
 public:
  std::string_view name() const override { return "ledger"; }
  std::string_view summary() const override { return "follow codes through three tables and add up costs"; }
  std::span<const Knob> knobs() const override { return kKnobs; }

  Problem Generate(std::span<const int> knob_values, Writer& writer) const override {
    PhiloxStream& random = writer.random();
    Codes codes(knob_values[kLength], knob_values[kSimilar], random);
    std::vector<Shop> shops;
    for (int i = 0; i < knob_values[kShops]; ++i) shops.push_back({codes.Next(), random.Between(2, 30)});
    std::vector<Item> items;
    for (int i = 0; i < knob_values[kItems]; ++i) {
      items.push_back(
          {codes.Next(), random.Between(2, 99), random.Below(static_cast<uint32_t>(shops.size()))});
    }
    std::vector<Order> orders;
    for (int i = 0; i < knob_values[kOrders]; ++i) {
      orders.push_back(
          {codes.Next(), random.Between(2, 9), random.Below(static_cast<uint32_t>(items.size()))});
    }
    const size_t num_asked = static_cast<size_t>(std::min(knob_values[kAsked], knob_values[kOrders]));
    const std::vector<Order> asked(orders.begin(), orders.begin() + static_cast<std::ptrdiff_t>(num_asked));

    Problem problem;
    problem.text = Statement(orders, items, shops, asked, random, problem.canonical);
    writer.Text("<think>\n");
    std::vector<int> costs;
    for (const Order& order : asked) costs.push_back(WriteOrder(order, items, shops, writer));
    int total = costs[0];
    for (size_t i = 1; i < costs.size(); ++i) {
      writer.Say(kSum, {std::to_string(total), std::to_string(costs[i]), std::to_string(total + costs[i])});
      total += costs[i];
    }
    writer.Say(kDone, {std::to_string(total)});
    problem.answer = std::to_string(total);
    writer.Text("</think>\n\n");
    writer.Say(kAnswer);
    writer.Text(" \\boxed{" + problem.answer + "}.");
    return problem;
  }

  bool IsRight(std::string_view, std::string_view answer, std::string_view boxed) const override {
    const auto expected = ParseInteger(answer), given = ParseInteger(boxed);
    return expected && given && *expected == *given;
  }

 private:
  static std::string Statement(const std::vector<Order>& orders, const std::vector<Item>& items,
                               const std::vector<Shop>& shops, const std::vector<Order>& asked,
                               PhiloxStream& random, std::string& canonical) {
    std::vector<std::string> order_rows, item_rows, shop_rows, asked_codes;
    for (const Order& o : orders)
      order_rows.push_back(fmt::format("{} {} of {}", o.code, o.quantity, items[o.item].code));
    for (const Item& i : items)
      item_rows.push_back(fmt::format("{} {} from {}", i.code, i.price, shops[i.shop].code));
    for (const Shop& s : shops) shop_rows.push_back(fmt::format("{} {}", s.code, s.fee));
    for (const Order& o : asked) asked_codes.push_back(o.code);
    canonical =
        fmt::format("{}|{}|{}|{}", fmt::join(Sorted(order_rows), ";"), fmt::join(Sorted(item_rows), ";"),
                    fmt::join(Sorted(shop_rows), ";"), fmt::join(Sorted(asked_codes), ";"));
    Shuffle(order_rows, random);
    Shuffle(item_rows, random);
    Shuffle(shop_rows, random);
    return Lines("Orders", order_rows) + Lines("Items", item_rows) + Lines("Shops", shop_rows) +
           fmt::format(
               "An order costs its quantity times the price of its item, plus the fee of the shop. What do "
               "{} "
               "cost together?",
               fmt::join(asked_codes, " and "));
  }

  static std::vector<std::string> Sorted(std::vector<std::string> rows) {
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  static int WriteOrder(const Order& order, const std::vector<Item>& items, const std::vector<Shop>& shops,
                        Writer& writer) {
    const Item& item = items[order.item];
    const Shop& shop = shops[item.shop];
    const int product = order.quantity * item.price, cost = product + shop.fee;
    const auto Text = [](int value) { return std::to_string(value); };
    writer.Say(kLookUp, {order.code});
    writer.Say(kOrder, {Text(order.quantity), item.code});
    writer.Say(kItem, {item.code, Text(item.price), shop.code});
    writer.Say(kCheck);
    writer.Say(kShop, {shop.code, Text(shop.fee)});
    writer.Say(kCheck);
    writer.Say(kCost, {Text(order.quantity), Text(item.price), Text(product), Text(shop.fee), Text(cost)});
    return cost;
  }
};

}  // namespace

const GeneratedTask& LedgerTask() {
  static const Ledger task;
  return task;
}

}  // namespace fourstep
