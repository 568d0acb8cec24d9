import {
  activation,
  add,
  copy,
  defineOp,
  emptyLike,
  fromArray,
  type GatedLinearInputs,
  gatedLinear,
  linear,
  mul,
  type RecurrenceOp,
  reshape,
  runRecurrence,
  scale,
  type Tensor,
} from '@longscan/kernels';
import { defineLayer, type Layer, type LayerContext, type ParameterDeclarer } from '../../layer.js';
import { delta, deltaOnColumns, squashed } from '../../stepwise/testing/definitions.js';
import { stepwise } from '../../stepwise.js';

/** A layer with one thing wrong. */
export interface BrokenLayer {
  readonly fault: string;
  readonly layer: Layer;
  /** Name of a check that must fail. */
  readonly noticedBy: RegExp;
}

interface Faults {
  readonly op?: RecurrenceOp<GatedLinearInputs>;
  readonly declare?: (param: ParameterDeclarer) => void;
  /** What becomes of the recurrence's output y and the input x, both [B, T, D]. */
  readonly mix?: (y: Tensor, x: Tensor) => Tensor;
  readonly contextFor?: (context: LayerContext) => LayerContext;
}

const decayed = gatedLinear('scalar');
const H = 2;

const wrongGradient = defineOp<{ x: Tensor }>({
  name: 'wrong-gradient',
  forward(_call, { x }) {
    const output = emptyLike(x);
    copy(x, output);
    return { output, save: {} };
  },
  backward: (_call, _saved, dy) => ({ x: scale(dy, 1.01) }),
});

export const brokenLayers: readonly BrokenLayer[] = [
  {
    fault: 'two neighbouring tokens are mixed',
    layer: layerWith({ mix: (y, x) => (x.dim(1) % 2 === 0 ? add({ a: y, b: mixPairs(x) }) : y) }),
    noticedBy: /changes no earlier output/,
  },
  {
    fault: 'its recurrence does not go through the context',
    layer: layerWith({ contextFor: (context) => ({ ...context, recurrence: withoutContext }) }),
    noticedBy: /1 rank = 2, 3, 4 ranks/,
  },
  {
    fault: 'its recurrence knows no documents',
    layer: layerWith({ contextFor: (context) => ({ ...context, recurrence: withoutContext }) }),
    noticedBy: /a document of NaN or of other values changes no other, to the bit: 1 rank/,
  },
  {
    fault: 'positions are counted from the start of the slice',
    layer: layerWith({ mix: addPositions }),
    noticedBy: /1 rank = 2, 3, 4 ranks/,
  },
  {
    fault: 'positions are counted from the token at hand',
    layer: layerWith({ mix: addPositions }),
    noticedBy: /one token at a time/,
  },
  {
    fault: 'a gradient is 1 % too large',
    layer: layerWith({ mix: (y) => wrongGradient({ x: y }, {}) }),
    noticedBy: /central differences/,
  },
  {
    fault: 'its output is cut off from the tape',
    layer: layerWith({ mix: (y, x) => add({ a: y.view(y.shape), b: x }) }),
    noticedBy: /central differences/,
  },
  {
    fault: 'a parameter name occurs twice',
    layer: layerWith({ declare: (param) => param.projection('q', 1, 1) }),
    noticedBy: /can be created/,
  },
  {
    fault: 'a parameter name depends on the depth',
    layer: layerWith({ declare: (param) => param.projection(`extra${param.layer.index}`, 1, 1) }),
    noticedBy: /parameter names/,
  },
  {
    fault: 'a parameter name changes from call to call',
    layer: layerWith({ declare: namesInTurn() }),
    noticedBy: /can be created/,
  },
  {
    fault: 'its output is [B * T, D]',
    layer: layerWith({ mix: (y) => reshape(y, [y.dim(0) * y.dim(1), y.dim(2)]) }),
    noticedBy: /the output is \[B, T, D\]/,
  },
  {
    fault: 'a tensor is kept for ever',
    layer: layerWith({ mix: (y) => y.retain() }),
    noticedBy: /free what they made/,
  },
  {
    fault: 'it counts how often it was called',
    layer: layerWith({ mix: countingCalls() }),
    noticedBy: /nothing is kept between calls/,
  },
  {
    fault: 'it goes on from what it was called with last',
    layer: layerWith({ mix: rememberingLast() }),
    noticedBy: /nothing is kept between calls/,
  },
  {
    fault: 'its recurrence computes something else than its definition',
    layer: layerWith({
      op: { ...decayed, reference: (...call) => gatedLinear('scalar', { scale: 1 }).reference(...call) },
    }),
    noticedBy: /its definition/,
  },
  {
    fault: 'it does not say that its output is not affine in its state',
    layer: layerWith({ op: { ...decayed, forward: squaredOutput } }),
    noticedBy: /what its transition claims/,
  },
  ...(
    [
      ['a step that is not affine', squashed, 'identity'],
      ['a step that mixes the rows of its state', deltaOnColumns, 'dense'],
      ['a step whose M mixes the numbers of a row', delta, 'diagonal'],
    ] as const
  ).map(([fault, definition, transition]) => ({
    fault: `${fault} claims to be ${transition}`,
    layer: layerWith({ op: stepwise({ ...definition, transition }) }),
    noticedBy: /what its transition claims/,
  })),
];

/** Reads the square of what the state holds. */
function squaredOutput(...call: Parameters<typeof decayed.forward>): ReturnType<typeof decayed.forward> {
  const result = decayed.forward(...call);
  return { ...result, output: mul({ a: result.output, b: result.output }) };
}

/** A small gated layer, right but for `faults`. */
function layerWith({ op = decayed, declare, mix = (y) => y, contextFor = (c) => c }: Faults): Layer {
  return defineLayer({
    name: 'broken',
    paper: 'https://arxiv.org/abs/2312.06635',
    transition: 'scalar',
    config: {},
    create(_config, param) {
      const D = param.dModel;
      const [wq, wk, wv] = ['q', 'k', 'v'].map((name) => param.projection(name, D, D));
      const wg = param.projection('g', H, D);
      declare?.(param);
      return (x, context) => {
        const [B, T] = x.shape as [number, number, number];
        const heads = (weight: Tensor) => reshape(linear({ x, weight, bias: null }), [B, T, H, D / H]);
        const g = activation('log-sigmoid', linear({ x, weight: wg, bias: null }));
        const inputs = { q: heads(wq!), k: heads(wk!), v: heads(wv!), g };
        return mix(reshape(contextFor(context).recurrence(op, inputs), [B, T, D]), x);
      };
    },
  }) as Layer;
}
/** Declares another parameter each time. */
function namesInTurn(): (param: ParameterDeclarer) => void {
  let numCalls = 0;
  return (param) => void param.projection(`extra${numCalls++}`, 1, 1);
}

const withoutContext: LayerContext['recurrence'] = (op, inputs) =>
  runRecurrence(op, inputs, { resets: null, h0: null }).output;

function countingCalls(): (y: Tensor) => Tensor {
  let numCalls = 0;
  return (y) => scale(y, ++numCalls);
}

function rememberingLast(): (y: Tensor) => Tensor {
  let last: Tensor | null = null;
  return (y) => {
    const before = last;
    last = y.retain();
    return before?.size === y.size && before.device === y.device ? add({ a: y, b: before }) : y;
  };
}

function mixPairs(x: Tensor): Tensor {
  const [B, T, D] = x.shape as [number, number, number];
  const weight = fromArray(x.device, new Float64Array(4 * D * D).fill(0.1), [2 * D, 2 * D], x.dtype);
  return reshape(linear({ x: reshape(x, [B, T / 2, 2 * D]), weight, bias: null }), x.shape);
}

function addPositions(y: Tensor): Tensor {
  const [, T, D] = y.shape as [number, number, number];
  const positions = Float64Array.from({ length: y.size }, (_, i) => Math.floor(i / D) % T);
  return add({ a: y, b: fromArray(y.device, positions, y.shape, y.dtype) });
}
