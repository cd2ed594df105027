/* Compiled loops for chain_fast.py and crf_neural_fast.py; chain_compiled.py builds this file and calls it.

   No library but the C one, no threads, no intrinsics: vectors are GCC's and Clang's own, of whatever width the machine
   has. The file reads itself twice, for float and for double. It is not to be compiled with -ffast-math, which would
   make `exponential` wrong and, once loaded, change the arithmetic of the whole process.

   A column is the k potentials or probabilities of one token, padded to whole vectors. Columns of a batch lie
   position by position, and in each position the longest sentence first: those that go on at i are the first of it.
   Nothing is read beyond the end of a sentence. Comments of chain_fast.py say what is computed, and why it is safe. */

#ifndef REAL

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 8 /* ROWS * PANEL sums, a row of the panel and a factor are to fit the registers */
#else
#define BYTES 32
#define ROWS 4
#endif
#define PANEL 3
#define INLINE static inline __attribute__((always_inline))
#define LANES ((int64_t)(BYTES / sizeof(REAL)))
#define LOAD(x) (*(const VEC *)(x))
#define STORE(x) (*(VEC *)(x))

typedef int64_t Int;

/* order[B]: the sentences, longest first. first[n + 1]: how many columns stand before each position. 0 where a length is
   not from 1 to n. */
static int arrange(Int B, Int n, const Int *lengths, Int *order, Int *first)
{
    Int rank = 0;
    for (Int i = n; i > 0; i--) {
        for (Int b = 0; b < B; b++)
            if (lengths[b] == i)
                order[rank++] = b;
        first[i] = rank;
    }
    first[0] = 0;
    for (Int i = 0; i < n; i++)
        first[i + 1] += first[i];
    return rank == B;
}

#define REAL float
#define BITS int32_t
#define MANTISSA 23
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define DEGREE 7
#define NAME(name) name##_float32
#define VEC vec_float32
#define BITVEC bitvec_float32
#include __FILE__
#undef REAL
#undef BITS
#undef MANTISSA
#undef LN2_HIGH
#undef LN2_LOW
#undef DEGREE
#undef NAME
#undef VEC
#undef BITVEC
#define REAL double
#define BITS int64_t
#define MANTISSA 52
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define DEGREE 13
#define NAME(name) name##_float64
#define VEC vec_float64
#define BITVEC bitvec_float64
#include __FILE__

#else

typedef REAL VEC __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef BITS BITVEC __attribute__((vector_size(BYTES)));

/* Vectors */

/* e^x where that is a normal number: 2^whole * e^r, |r| <= ln 2 / 2, by Taylor's polynomial. */
INLINE VEC NAME(exponential)(VEC x)
{
    const REAL shift = (REAL)1.5 * ((Int)1 << MANTISSA); /* adding it leaves the whole part in the lowest bits */
    VEC shifted = x * (REAL)1.44269504088896340736 + shift;
    VEC whole = shifted - shift, r = x - whole * LN2_HIGH - whole * LN2_LOW;
    VEC p = (r - r) + 1;
#pragma GCC unroll 16
    for (int i = DEGREE; i > 0; i--)
        p = p * (r * ((REAL)1 / i)) + 1;
    return (VEC)((BITVEC)p + ((BITVEC)shifted << MANTISSA));
}

INLINE VEC NAME(larger)(VEC a, VEC b)
{
    BITVEC mask = (BITVEC)(a > b);
    return (VEC)(((BITVEC)a & mask) | ((BITVEC)b & ~mask));
}

INLINE double NAME(total)(VEC x)
{
    REAL lane[LANES];
    STORE(lane) = x;
    for (Int width = LANES / 2; width; width /= 2)
        for (Int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

/* The middle of x, and the difference of its largest and least; nan if anything in it is nan or infinite. */
static double NAME(range)(Int count, const REAL *x, double *center)
{
    REAL few[LANES];
    if (count < LANES) {
        for (Int l = 0; l < LANES; l++)
            few[l] = x[l < count ? l : 0];
        count = LANES, x = few;
    }
    VEC high = LOAD(x), low = -high, odd = high - high;
    for (Int i = 0; i < count; i += LANES) {
        VEC v = LOAD(x + (i + LANES <= count ? i : count - LANES));
        high = NAME(larger)(high, v), low = NAME(larger)(low, -v), odd += v - v;
    }
    double most = -INFINITY, least = -INFINITY;
    for (Int l = 0; l < LANES; l++) {
        most = high[l] > most ? high[l] : most;
        least = low[l] > least ? low[l] : least;
    }
    *center = (most - least) / 2;
    return most + least + NAME(total)(odd);
}

/* out = e^(x - center). In place only where count is a number of whole vectors. */
static void NAME(exponentials)(Int count, const REAL *x, double center, REAL *out)
{
    const REAL middle = (REAL)center;
    if (count < LANES) {
        VEC few = {0};
        memcpy(&few, x, count * sizeof(REAL));
        few = NAME(exponential)(few - middle);
        memcpy(out, &few, count * sizeof(REAL));
        return;
    }
    for (Int i = 0; i < count; i += LANES) {
        Int at = i + LANES <= count ? i : count - LANES;
        STORE(out + at) = NAME(exponential)(LOAD(x + at) - middle);
    }
}

/* Products of matrices, and the same with max and + in place of + and * */

/* out[r] = sum_q x[r, q] y[q], for `rows` rows of x and a panel of `width` vectors. */
INLINE void NAME(block)(int best, int rows, int width, Int inner, const REAL *x, Int by_row, Int by_inner,
                        const REAL *y, Int y_row, REAL *out, Int out_row)
{
    VEC sum[ROWS][PANEL];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int c = 0; c < width; c++)
            sum[r][c] = (VEC){0} - (best ? (REAL)INFINITY : 0);
    for (Int q = 0; q < inner; q++)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            REAL factor = x[r * by_row + q * by_inner];
#pragma GCC unroll 3
            for (int c = 0; c < width; c++) {
                VEC other = LOAD(y + q * y_row + c * LANES);
                if (best)
                    sum[r][c] = NAME(larger)(factor + other, sum[r][c]);
                else
                    sum[r][c] += factor * other;
            }
        }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int c = 0; c < width; c++)
            STORE(out + r * out_row + c * LANES) = sum[r][c];
}

/* out[r] = sum_q x[r, q] y[q] over `vectors` vectors; y_row 0 says that y is packed in panels. */
INLINE void NAME(multiply)(int best, Int rows, Int inner, Int vectors, const REAL *x, Int by_row, Int by_inner,
                           const REAL *y, Int y_row, REAL *out, Int out_row)
{
    for (Int c = 0; c < vectors; c += PANEL) {
        Int width = vectors - c < PANEL ? vectors - c : PANEL, step = y_row ? y_row : width * LANES;
        for (Int r = 0; r < rows; r += ROWS) {
            Int height = rows - r < ROWS ? rows - r : ROWS;
            const REAL *from = x + r * by_row;
            REAL *to = out + r * out_row + c * LANES;
#define BLOCK(h, w)                                                                                                    \
    case 4 * h + w:                                                                                                    \
        NAME(block)(best, h, w, inner, from, by_row, by_inner, y, step, to, out_row);                                  \
        break;
#define BLOCKS(h) BLOCK(h, 1) BLOCK(h, 2) BLOCK(h, 3)
            switch (4 * height + width) {
                BLOCKS(1) BLOCKS(2) BLOCKS(3) BLOCKS(4)
#if ROWS == 8
                BLOCKS(5) BLOCKS(6) BLOCKS(7) BLOCKS(8)
#endif
            }
#undef BLOCKS
#undef BLOCK
        }
        y += y_row ? width * LANES : inner * width * LANES;
    }
}

static void NAME(product)(Int rows, Int inner, Int vectors, const REAL *x, Int by_row, Int by_inner, const REAL *y,
                          Int y_row, REAL *out, Int out_row)
{
    NAME(multiply)(0, rows, inner, vectors, x, by_row, by_inner, y, y_row, out, out_row);
}

static void NAME(max_product)(Int rows, Int inner, Int vectors, const REAL *x, Int by_row, const REAL *y, Int y_row,
                              REAL *out, Int out_row)
{
    NAME(multiply)(1, rows, inner, vectors, x, by_row, 1, y, y_row, out, out_row);
}

/* The matrix y[q, c] in panels, for `product`; 0 fills the last. */
static void NAME(pack)(Int inner, Int columns, const REAL *y, Int by_inner, Int by_column, REAL *panels)
{
    for (Int c = 0; c < columns; c += PANEL * LANES) {
        Int left = columns - c, width = (left < PANEL * LANES ? left + LANES - 1 : PANEL * LANES) / LANES * LANES;
        for (Int q = 0; q < inner; q++, panels += width)
            for (Int j = 0; j < width; j++)
                panels[j] = j < left ? y[q * by_inner + (c + j) * by_column] : 0;
    }
}

/* What both kinds of chains share */

typedef struct {
    Int k, vectors, width;              /* width: a column's, padding included */
    REAL *p, *alpha, *gamma;            /* a column for each token; p holds E until gamma is there */
    REAL *scale, *center, *between;     /* a number for each token: see `meet`, `columns` and `position_passes` */
    REAL *A, *rightward, *leftward;     /* shared transitions: [k, k], and in panels as it is and transposed */
} NAME(Room);

static NAME(Room) NAME(divide)(Int tokens, Int k, REAL *room)
{
    Int vectors = (k + LANES - 1) / LANES, width = vectors * LANES, columns = tokens * width;
    REAL *numbers = room + 3 * columns, *A = numbers + 3 * tokens;
    return (NAME(Room)){k, vectors, width, room, room + columns, room + 2 * columns, numbers, numbers + tokens,
                        numbers + 2 * tokens, A, A + k * width, A + 2 * k * width};
}

Int NAME(room)(Int tokens, Int k)
{
    Int width = (k + LANES - 1) / LANES * LANES;
    return tokens * (3 * width + 3) + 3 * k * width;
}

typedef struct {
    Int B, n, k;
    const REAL *start, *emit, *trans, *stop;
    Int start_row, emit_sentence, emit_position, trans_sentence, trans_position, stop_row;
    const Int *lengths;
    double limit;    /* of the range of emissions plus that of transitions, in nats */
    Int *places;     /* [B + n + 1]: order, first */
    REAL *room;
} NAME(Chain);

/* The emissions of a token with `start` and `stop` in them, where they belong. */
INLINE void NAME(column)(const NAME(Chain) *chain, Int b, Int i, REAL *out)
{
    const Int k = chain->k;
    const REAL *emit = chain->emit + b * chain->emit_sentence + i * chain->emit_position;
    memcpy(out, emit, k * sizeof(REAL));
    if (i == 0)
        for (Int t = 0; t < k; t++)
            out[t] += chain->start[b * chain->start_row + t];
    if (i == chain->lengths[b] - 1)
        for (Int t = 0; t < k; t++)
            out[t] += chain->stop[b * chain->stop_row + t];
}

/* E = e^(emissions - center) for all tokens; the largest range of a column, more than `limit` where it is no number. */
static double NAME(columns)(const NAME(Chain) *chain, NAME(Room) room)
{
    const Int *order = chain->places, *first = order + chain->B;
    double widest = 0, center;
    for (Int i = 0; i < chain->n; i++)
        for (Int rank = 0, row = first[i]; row < first[i + 1]; rank++, row++) {
            REAL *column = room.p + row * room.width;
            NAME(column)(chain, order[rank], i, column);
            for (Int t = room.k; t < room.width; t++)
                column[t] = column[0];
            double range = NAME(range)(room.width, column, &center);
            if (!(range <= chain->limit))
                return INFINITY;
            widest = range > widest ? range : widest;
            room.center[row] = (REAL)center;
            NAME(exponentials)(room.width, column, room.center[row], column);
            for (Int t = room.k; t < room.width; t++)
                column[t] = 0;
        }
    return widest;
}

/* alpha = (what came in) * E, scaled to sum to 1; `scale` keeps the sum. */
INLINE void NAME(forward)(NAME(Room) room, Int row)
{
    REAL *alpha = room.alpha + row * room.width, *E = room.p + row * room.width;
    VEC sum = {0};
    for (Int c = 0; c < room.width; c += LANES)
        sum += STORE(alpha + c) *= LOAD(E + c);
    double scale = NAME(total)(sum);
    REAL inverse = (REAL)(1 / scale);
    for (Int c = 0; c < room.width; c += LANES)
        STORE(alpha + c) *= inverse;
    room.scale[row] = (REAL)scale;
}

/* From beta, where gamma will be: the marginals p, gamma scaled to sum to 1, and in `scale` the factor that makes
   alpha[before, s] A[s, t] gamma[t] the probability of the tag bigram that ends here. */
INLINE void NAME(meet)(NAME(Room) room, Int row)
{
    REAL *p = room.p + row * room.width, *alpha = room.alpha + row * room.width, *gamma = room.gamma + row * room.width;
    VEC through = {0}, onward = {0};
    for (Int c = 0; c < room.width; c += LANES) {
        VEC E = LOAD(p + c), beta = LOAD(gamma + c);
        through += STORE(p + c) = LOAD(alpha + c) * beta;
        onward += STORE(gamma + c) = beta * E;
    }
    double norm = NAME(total)(through), sum = NAME(total)(onward);
    REAL inverse = (REAL)(1 / norm), of_gamma = (REAL)(1 / sum);
    for (Int c = 0; c < room.width; c += LANES) {
        STORE(p + c) *= inverse;
        STORE(gamma + c) *= of_gamma;
    }
    room.scale[row] = (REAL)(sum / norm / room.scale[row]);
}

/* log Z without what was subtracted from the transitions. */
INLINE double NAME(log_scales)(NAME(Room) room, const Int *first, Int rank, Int length)
{
    double sum = 0;
    for (Int i = 0; i < length; i++)
        sum += log(room.scale[first[i] + rank]) + room.center[first[i] + rank];
    return sum;
}

/* Derivatives by start, emit and stop: the marginals times the weight of each sentence, 0 in the padding. */
void NAME(emission_gradient)(const NAME(Chain) *chain, const REAL *weight, Int weight_row, REAL *by_start,
                             REAL *by_emit, REAL *by_stop)
{
    const Int B = chain->B, n = chain->n, k = chain->k, *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    for (Int rank = 0; rank < B; rank++) {
        Int b = order[rank], i = 0;
        REAL w = weight[b * weight_row], *out = by_emit + b * n * k;
        for (; i < n && rank < first[i + 1] - first[i]; i++) {
            const REAL *p = room.p + (first[i] + rank) * room.width;
            for (Int t = 0; t < k; t++)
                out[i * k + t] = w * p[t];
        }
        memset(out + i * k, 0, (n - i) * k * sizeof(REAL));
        memcpy(by_start + b * k, out, k * sizeof(REAL));
        memcpy(by_stop + b * k, out + (i - 1) * k, k * sizeof(REAL));
    }
}

/* Transitions that all positions share */

int NAME(shared_passes)(const NAME(Chain) *chain, int backward, REAL *log_partition)
{
    const Int B = chain->B, n = chain->n, k = chain->k;
    Int *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    const Int width = room.width;
    if (!arrange(B, n, chain->lengths, order, first))
        return 0;
    double center, of_trans = NAME(range)(k * k, chain->trans, &center);
    if (!(of_trans + NAME(columns)(chain, room) <= chain->limit))
        return 0;
    center += log((double)k);
    NAME(exponentials)(k * k, chain->trans, center, room.A);
    NAME(pack)(k, k, room.A, k, 1, room.rightward);

    for (Int t = 0; t < B * width; t++)
        room.alpha[t] = 1;
    for (Int i = 0; i < n; i++) {
        REAL *alpha = room.alpha + first[i] * width;
        if (i)
            NAME(product)(first[i + 1] - first[i], k, room.vectors, room.alpha + first[i - 1] * width, width, 1,
                          room.rightward, 0, alpha, width);
        for (Int row = first[i]; row < first[i + 1]; row++)
            NAME(forward)(room, row);
    }
    for (Int rank = 0; rank < B; rank++) {
        Int length = chain->lengths[order[rank]];
        log_partition[order[rank]] = (REAL)(NAME(log_scales)(room, first, rank, length) + center * (length - 1));
    }
    if (!backward)
        return 1;

    NAME(pack)(k, k, room.A, 1, k, room.leftward);
    for (Int i = n - 1; i >= 0; i--) {
        Int going_on = i + 1 < n ? first[i + 2] - first[i + 1] : 0;
        REAL *gamma = room.gamma + first[i] * width;
        NAME(product)(going_on, k, room.vectors, room.gamma + first[i + 1] * width, width, 1, room.leftward, 0, gamma,
                      width);
        for (Int t = going_on * width; t < (first[i + 1] - first[i]) * width; t++)
            gamma[t] = 1;
        for (Int row = first[i]; row < first[i + 1]; row++)
            NAME(meet)(room, row);
    }
    return 1;
}

/* The derivative by trans. work: [2 B n + k] columns. */
void NAME(shared_gradient)(const NAME(Chain) *chain, const REAL *weight, Int weight_row, REAL *by_trans, REAL *work)
{
    const Int B = chain->B, n = chain->n, k = chain->k, *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    const Int width = room.width, pairs = first[n] - first[1];
    REAL *left = work, *right = left + pairs * width, *sums = right + pairs * width, *to = left;
    for (Int i = 1; i < n; i++)
        for (Int rank = 0, row = first[i]; row < first[i + 1]; rank++, row++, to += width) {
            const REAL *alpha = room.alpha + (first[i - 1] + rank) * width;
            REAL factor = room.scale[row] * weight[order[rank] * weight_row];
            for (Int c = 0; c < width; c += LANES)
                STORE(to + c) = LOAD(alpha + c) * factor;
        }
    NAME(pack)(pairs, width, room.gamma + first[1] * width, width, 1, right);
    NAME(product)(k, pairs, room.vectors, left, 1, width, right, 0, sums, width);
    for (Int s = 0; s < k; s++)
        for (Int t = 0; t < k; t++)
            by_trans[s * k + t] = room.A[s * k + t] * sums[s * width + t];
}

/* Transitions of each position */

/* work: A of one sentence, or of one position if not `backward`, and a column. */
int NAME(position_passes)(const NAME(Chain) *chain, int backward, REAL *log_partition, REAL *work)
{
    const Int B = chain->B, n = chain->n, k = chain->k;
    Int *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    const Int width = room.width;
    if (!arrange(B, n, chain->lengths, order, first))
        return 0;
    double of_emit = NAME(columns)(chain, room);
    if (!(of_emit <= chain->limit))
        return 0;
    for (Int rank = 0; rank < B; rank++) {
        Int b = order[rank], length = chain->lengths[b];
        double total = 0, center;
        for (Int i = 0; i < length; i++) {
            Int row = first[i] + rank;
            REAL *alpha = room.alpha + row * width, *A = work + (backward ? i - 1 : 0) * k * k;
            if (i == 0)
                for (Int t = 0; t < width; t++)
                    alpha[t] = 1;
            else {
                const REAL *trans = chain->trans + b * chain->trans_sentence + (i - 1) * chain->trans_position;
                if (!(of_emit + NAME(range)(k * k, trans, &center) <= chain->limit))
                    return 0;
                room.between[row] = (REAL)(center + log((double)k));
                total += room.between[row];
                NAME(exponentials)(k * k, trans, room.between[row], A);
                /* the last row is read beyond its end, as a whole number of vectors: it must find numbers there */
                memset(A + k * k, 0, (width - k) * sizeof(REAL));
                NAME(product)(1, k, room.vectors, room.alpha + (first[i - 1] + rank) * width, 0, 1, A, k, alpha, width);
            }
            NAME(forward)(room, row);
        }
        log_partition[b] = (REAL)(NAME(log_scales)(room, first, rank, length) + total);
        for (Int i = backward ? length - 1 : -1; i >= 0; i--) {
            REAL *beta = room.gamma + (first[i] + rank) * width;
            for (Int t = 0; t < width; t++)
                beta[t] = 1;
            if (i < length - 1) {
                const REAL *A = work + i * k * k, *gamma = room.gamma + (first[i + 1] + rank) * width;
                for (Int s = 0; s < k; s++) {
                    VEC sum = {0};
                    for (Int c = 0; c < width; c += LANES)
                        sum += LOAD(A + s * k + c) * LOAD(gamma + c);
                    beta[s] = (REAL)NAME(total)(sum);
                }
            }
            NAME(meet)(room, first[i] + rank);
        }
    }
    return 1;
}

/* The derivative by trans, [B, n - 1, k, k], 0 in the padding. work: [k, k] */
void NAME(position_gradient)(const NAME(Chain) *chain, const REAL *weight, Int weight_row, REAL *by_trans, REAL *A)
{
    const Int B = chain->B, n = chain->n, k = chain->k, *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    for (Int rank = 0; rank < B; rank++) {
        Int b = order[rank], i = 1;
        REAL *out = by_trans + b * (n - 1) * k * k;
        for (; i < n && rank < first[i + 1] - first[i]; i++, out += k * k) {
            Int row = first[i] + rank;
            const REAL *trans = chain->trans + b * chain->trans_sentence + (i - 1) * chain->trans_position;
            const REAL *alpha = room.alpha + (first[i - 1] + rank) * room.width, *gamma = room.gamma + row * room.width;
            REAL factor = room.scale[row] * weight[b * weight_row];
            NAME(exponentials)(k * k, trans, room.between[row], A);
            for (Int s = 0; s < k; s++) {
                REAL left = factor * alpha[s];
                for (Int t = 0; t < k; t++)
                    out[s * k + t] = left * A[s * k + t] * gamma[t];
            }
        }
        memset(out, 0, (n - i) * k * k * sizeof(REAL));
    }
}

/* Viterbi */

/* The first s that maximizes best[s] + trans[s, tag]. */
INLINE Int NAME(predecessor)(Int k, const REAL *best, const REAL *trans, Int tag)
{
    Int found = 0;
    REAL most = best[0] + trans[tag];
    for (Int s = 1; s < k; s++) {
        REAL score = best[s] + trans[s * k + tag];
        if (score > most)
            most = score, found = s;
    }
    return found;
}

INLINE int NAME(has_nan)(Int count, const REAL *x)
{
    Int found = 0;
    for (Int i = 0; i < count; i++)
        found |= x[i] != x[i];
    return found != 0;
}

/* The best tagging [B, n], -1 in the padding, and its score [B]; 0 where a nan is met. Of the chain's room only columns
   are used. work: shared transitions in panels, or those of one position and a column. */
int NAME(viterbi)(const NAME(Chain) *chain, int shared, Int *tags, REAL *score, REAL *work)
{
    const Int B = chain->B, n = chain->n, k = chain->k;
    Int *order = chain->places, *first = order + B;
    NAME(Room) room = NAME(divide)(B * n, k, chain->room);
    const Int width = room.width;
    REAL *best = room.alpha, *column = room.gamma;
    if (!arrange(B, n, chain->lengths, order, first))
        return 0;
    if (shared) {
        if (NAME(has_nan)(k * k, chain->trans))
            return 0;
        NAME(pack)(k, k, chain->trans, k, 1, work);
    }
    for (Int i = 0; i < n; i++) {
        Int going_on = first[i + 1] - first[i];
        if (i && shared)
            NAME(max_product)(going_on, k, room.vectors, best + first[i - 1] * width, width, work, 0,
                              best + first[i] * width, width);
        for (Int rank = 0; rank < going_on; rank++) {
            Int b = order[rank];
            REAL *here = best + (first[i] + rank) * width;
            if (i && !shared) {
                const REAL *trans = chain->trans + b * chain->trans_sentence + (i - 1) * chain->trans_position;
                if (NAME(has_nan)(k * k, trans))
                    return 0;
                memcpy(work, trans, k * k * sizeof(REAL));
                memset(work + k * k, 0, (width - k) * sizeof(REAL));
                NAME(max_product)(1, k, room.vectors, best + (first[i - 1] + rank) * width, 0, work, k, here, width);
            }
            NAME(column)(chain, b, i, column);
            if (NAME(has_nan)(k, column))
                return 0;
            for (Int t = 0; t < k; t++)
                here[t] = i ? here[t] + column[t] : column[t];
        }
    }
    for (Int rank = 0; rank < B; rank++) {
        Int b = order[rank], length = chain->lengths[b], tag = 0;
        const REAL *here = best + (first[length - 1] + rank) * width;
        for (Int t = 1; t < k; t++)
            if (here[t] > here[tag])
                tag = t;
        score[b] = here[tag];
        for (Int i = length; i < n; i++)
            tags[b * n + i] = -1;
        tags[b * n + length - 1] = tag;
        for (Int i = length - 2; i >= 0; i--) {
            const REAL *trans = chain->trans + (shared ? 0 : b * chain->trans_sentence + i * chain->trans_position);
            tag = NAME(predecessor)(k, best + (first[i] + rank) * width, trans, tag);
            tags[b * n + i] = tag;
        }
    }
    return 1;
}

/* Sums of sigmoids: see crf_neural_fast.py. sigmoid(x + y) = 1 / (1 + e^-x e^-y) needs no exponential of its own, and two
   of them one division. */

/* v[f, q] = e^-y[q, f], and u = e^-x; 0 where they would not be normal numbers, that is beyond `limit`. */
static int NAME(factors)(Int P, Int Q, Int F, const REAL *x, const REAL *y, double limit, REAL *u, REAL *v)
{
    const Int width = (Q + LANES - 1) / LANES * LANES;
    double center, range = NAME(range)(P * F, x, &center);
    if (!(range / 2 + fabs(center) <= limit))
        return 0;
    range = NAME(range)(Q * F, y, &center);
    if (!(range / 2 + fabs(center) <= limit))
        return 0;
    for (Int i = 0; i < P * F; i++)
        u[i] = -x[i];
    for (Int f = 0; f < F; f++)
        for (Int q = 0; q < width; q++)
            v[f * width + q] = q < Q ? -y[q * F + f] : 0;
    NAME(exponentials)((P * F + LANES - 1) / LANES * LANES, u, 0, u);
    NAME(exponentials)(F * width, v, 0, v);
    return 1;
}

/* 1 + min(u v, most): the product of two of them is finite, and 1 / most is 0 beside 1. */
INLINE VEC NAME(denominator)(REAL u, VEC v)
{
    const VEC most = (VEC){0} + (REAL)(sizeof(REAL) == 4 ? 1e18 : 1e150);
    return 1 - NAME(larger)(-u * v, -most);
}

/* out[P, Q] = sum_f theta[f] sigmoid(x[p, f] + y[q, f]). work: u and v, and two vectors more. */
int NAME(sigmoids)(Int P, Int Q, Int F, const REAL *x, const REAL *y, const REAL *theta, double limit, REAL *out,
                   REAL *work)
{
    const Int width = (Q + LANES - 1) / LANES * LANES;
    REAL *v = work, *u = v + F * width;
    if (!NAME(factors)(P, Q, F, x, y, limit, u, v))
        return 0;
    for (Int p = 0; p < P; p++, u += F, out += Q)
        for (Int q = 0; q < width; q += LANES) {
            VEC sum = {0};
            Int f = 0;
            for (; f + 1 < F; f += 2) {
                VEC a = NAME(denominator)(u[f], LOAD(v + f * width + q));
                VEC b = NAME(denominator)(u[f + 1], LOAD(v + (f + 1) * width + q));
                sum += (theta[f] * b + theta[f + 1] * a) / (a * b);
            }
            if (f < F)
                sum += theta[f] / NAME(denominator)(u[f], LOAD(v + f * width + q));
            memcpy(out + q, &sum, (Q - q < LANES ? Q - q : LANES) * sizeof(REAL));
        }
    return 1;
}

/* Its derivatives. work: u and v, v's size again, a row of Q, and two vectors more. */
int NAME(sigmoids_gradient)(Int P, Int Q, Int F, const REAL *x, const REAL *y, const REAL *theta, double limit,
                            const REAL *by_out, REAL *by_x, REAL *by_y, REAL *by_theta, REAL *work)
{
    const Int width = (Q + LANES - 1) / LANES * LANES;
    REAL *v = work, *slopes = v + F * width, *weight = slopes + F * width, *u = weight + width;
    if (!NAME(factors)(P, Q, F, x, y, limit, u, v))
        return 0;
    memset(slopes, 0, (F + 1) * width * sizeof(REAL)); /* and of weight what lies beyond Q */
    memset(by_theta, 0, F * sizeof(REAL));
    for (Int p = 0; p < P; p++, u += F, by_x += F) {
        memcpy(weight, by_out + p * Q, Q * sizeof(REAL));
        for (Int f = 0; f < F; f += 2) {
            const Int more = f + 1 < F; /* the last of an odd number goes with itself, and counts once */
            REAL *v1 = v + f * width, *v2 = v1 + more * width, *slopes1 = slopes + f * width;
            REAL *slopes2 = slopes1 + more * width;
            VEC of_theta1 = {0}, of_theta2 = {0}, of_x1 = {0}, of_x2 = {0};
            for (Int q = 0; q < width; q += LANES) {
                VEC a = NAME(denominator)(u[f], LOAD(v1 + q)), b = NAME(denominator)(u[f + more], LOAD(v2 + q));
                VEC both = 1 / (a * b), w = LOAD(weight + q), s1 = b * both, s2 = a * both;
                VEC w1 = w * s1, w2 = w * s2, slope1 = w1 - w1 * s1, slope2 = w2 - w2 * s2;
                of_theta1 += w1, of_theta2 += w2, of_x1 += slope1, of_x2 += slope2;
                STORE(slopes1 + q) += slope1;
                if (more)
                    STORE(slopes2 + q) += slope2;
            }
            by_x[f] = theta[f] * (REAL)NAME(total)(of_x1);
            by_theta[f] += (REAL)NAME(total)(of_theta1);
            if (more) {
                by_x[f + 1] = theta[f + 1] * (REAL)NAME(total)(of_x2);
                by_theta[f + 1] += (REAL)NAME(total)(of_theta2);
            }
        }
    }
    for (Int q = 0; q < Q; q++)
        for (Int f = 0; f < F; f++)
            by_y[q * F + f] = theta[f] * slopes[f * width + q];
    return 1;
}

#endif
