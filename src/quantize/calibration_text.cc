#include "quantize/calibration.h"

namespace fourstep {

// What a reasoning model reads and writes: prose, problems solved step by step with blank lines between the
// steps, second thoughts, tables of numbers, code, markup, and a little of other languages.
std::string_view BuiltInCalibrationText() {
  return R"TEXT(Rivers carry more than water. In spring the melting snow loosens gravel from the banks, and by the time
the stream reaches the plain it has sorted its load: boulders stay high in the valley, pebbles come to
rest where the slope eases, and only the finest silt travels on to the sea. A geologist who reads a
river bed from its source to its mouth is reading a record of speed. Where the stones are large, the
water was once fast; where there is clay, it stood almost still.

Question: A train leaves at 09:40 and arrives at 13:05. It stops for 12 minutes on the way and covers
287 km. What is its average speed while it moves?

Let me think about this step by step.

First, the whole time between 09:40 and 13:05. From 09:40 to 12:40 is 3 hours, and from 12:40 to 13:05
is 25 minutes, so 3 h 25 min = 205 minutes.

Next, take away the stop: 205 - 12 = 193 minutes of movement.

Then the speed is 287 / 193 km per minute. Multiply by 60: 287 * 60 = 17220, and 17220 / 193 = 89.22...

Wait, let me check that: 193 * 89 = 17177, and 17220 - 17177 = 43, so 43 / 193 = 0.2228. Yes, 89.22.

The average speed is about 89.2 km/h.

**Answer:** \boxed{89.2}

Problem. Find all integers n with n^2 - 7n + 10 < 0.

<think>
The quadratic factors: n^2 - 7n + 10 = (n - 2)(n - 5). It is negative strictly between the roots, that
is 2 < n < 5.

So n = 3 or n = 4. Check n = 3: 9 - 21 + 10 = -2 < 0. Good. Check n = 4: 16 - 28 + 10 = -2 < 0. Good.

Hmm, should n = 2 or n = 5 be included? At n = 2 the value is 4 - 14 + 10 = 0, which is not less than 0. No.
</think>

The solutions are n = 3 and n = 4.

Compute 4827 + 9365 - 1288.

4827 + 9365: 7 + 5 = 12, write 2 carry 1; 2 + 6 + 1 = 9; 8 + 3 = 11, write 1 carry 1; 4 + 9 + 1 = 14.
That gives 14192.

14192 - 1288: 14192 - 1200 = 12992, then 12992 - 88 = 12904.

So the result is 12904.

Using the numbers 3, 7, 25 and 50, each once, make 378.

Start with a large product. 25 * 7 = 175, and 378 - 175 = 203 = 50 * 4 + 3. That would need a 4; not good.

Try 50 * 7 = 350 instead. Then 378 - 350 = 28, and 25 + 3 = 28. That uses 3 and 25, which are left.

So (50 * 7) + (25 + 3) = 350 + 28 = 378. Every number is used once.

```python
from collections import deque


def shortest_path(graph: dict[str, list[str]], start: str, goal: str) -> list[str] | None:
    """Breadth-first search; returns the nodes from start to goal, or None."""
    parents = {start: None}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if node == goal:
            path = []
            while node is not None:
                path.append(node)
                node = parents[node]
            return path[::-1]
        for neighbour in graph.get(node, []):
            if neighbour not in parents:
                parents[neighbour] = node
                queue.append(neighbour)
    return None


print(shortest_path({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, "a", "d"))  # ['a', 'b', 'd']
```

The function visits every node once and every edge once, so its time is O(V + E). Because the queue is
first in, first out, the first time that `goal` is taken from it, no shorter path can exist.

```cpp
template <typename T>
T gcd(T a, T b) {
  while (b != 0) {
    const T r = a % b;
    a = b;
    b = r;
  }
  return a < 0 ? -a : a;
}
// gcd(252, 105): 252 % 105 = 42, 105 % 42 = 21, 42 % 21 = 0, so 21.
```

| city      | population | area (km^2) | density |
|-----------|-----------:|------------:|--------:|
| Ashford   |     83,213 |        58.1 |   1,432 |
| Brookvale |    412,980 |       205.7 |   2,008 |
| Carrow    |      9,604 |        11.3 |     850 |

{"id": 17, "name": "sensor-4", "values": [0.125, -3.5, 1e-6, 42], "ok": true, "note": null}

Theorem. There are infinitely many primes. Proof. Suppose that p_1, ..., p_k are all of them, and let N
= p_1 p_2 ... p_k + 1. Every p_i leaves the remainder 1 when it divides N, so none of them divides N;
but N > 1 has some prime factor, a contradiction.

A fair die is thrown three times. What is the probability that the sum is 10?

There are 6^3 = 216 outcomes. I count the triples (a, b, c) with a + b + c = 10 and 1 <= a, b, c <= 6.

For a = 1: b + c = 9, the pairs are (3,6), (4,5), (5,4), (6,3): 4.
For a = 2: b + c = 8, from (2,6) to (6,2): 5.
For a = 3: b + c = 7: 6.
For a = 4: b + c = 6: 5.
For a = 5: b + c = 5: 4.
For a = 6: b + c = 4: 3.

Together 4 + 5 + 6 + 5 + 4 + 3 = 27, and 27 / 216 = 1/8.

The probability is 1/8 = 0.125.

"You have walked a long way," said the old woman, and she moved the kettle nearer to the fire. "Sit
down. Nobody who crosses the pass in October does it for pleasure." He thanked her, put his hat on the
table, and for a while neither of them spoke. Outside, the wind went round the house like someone
looking for the door.

Solve the system 3x + 2y = 16, 5x - y = 5.

From the second equation y = 5x - 5. Put it into the first: 3x + 2(5x - 5) = 16, so 13x - 10 = 16, 13x =
26, x = 2.

Then y = 5 * 2 - 5 = 5. Check: 3 * 2 + 2 * 5 = 6 + 10 = 16. Correct; and 5 * 2 - 5 = 5. Correct.

Therefore x = 2 and y = 5.

SELECT customer, SUM(amount) AS total FROM orders WHERE placed >= '2024-01-01' GROUP BY customer HAVING
SUM(amount) > 1000 ORDER BY total DESC LIMIT 10;

Der Zug hatte zwanzig Minuten Verspätung, aber niemand beschwerte sich. La bibliothèque ferme à dix-huit
heures le samedi. 水在零度结冰，在一百度沸腾。El resultado no depende del orden de los sumandos.

The derivative of x^3 ln x is 3x^2 ln x + x^2, by the product rule: (x^3)' = 3x^2 and (ln x)' = 1/x. At
x = e this is 3e^2 + e^2 = 4e^2, which is about 29.556.

A shop sells pens at 1.20 and notebooks at 2.75. Dana buys 14 items for 26.10. How many notebooks does
she buy?

Let n be the number of notebooks; then there are 14 - n pens. The cost is 2.75 n + 1.20 (14 - n) = 26.10.

Simplify: 1.55 n + 16.80 = 26.10, so 1.55 n = 9.30 and n = 6.

Check: 6 * 2.75 = 16.50, 8 * 1.20 = 9.60, together 26.10. She buys 6 notebooks.
)TEXT";
}

}  // namespace fourstep
