import { type Device, LongscanError, type Native, openShapeDevice } from '@longscan/kernels';

/** Names of the types by their numbers in native calls. */
const typeNames = ['f32', 'f64', 'bf16', 'i32'] as const;
type TypeName = (typeof typeNames)[number];

/** Beyond every size and count that a call may have beside its tensors, so that a tensor's number is known as one. */
const firstTensor = 2 ** 40;

/**
 * Native functions that take f32 beside bf16, by what they begin with. Recurrences check the types of their inputs
 * themselves, on every device.
 */
const mixed = [
  ...[
    'activation',
    'addForward',
    'axpy',
    'broadcast',
    'cast',
    'linear',
    'multiply',
    'blockLinear',
    'sumRows',
  ],
  ...['rmsNorm', 'gatedNorm', 'layerNorm', 'causalConv', 'attention', 'softmax', 'route'],
  ...['deltaRule', 'gatedLinear', 'ltiScan', 'mesa', 'mlstm', 'selectiveScan', 'slstm', 'vectorScan'],
];

/** What of such a function has one type all the same: places among its tensors. */
const alike: Readonly<Record<string, readonly number[]>> = {
  linearForward: [0, 1],
  linearInputGradient: [0, 1, 2],
  linearWeightGradient: [0, 1],
  linearJoinedForward: [0, 1, 2],
  linearJoinedInputGradient: [0, 1, 2, 3],
  linearJoinedWeightGradient: [0, 1],
  linearSwigluForward: [0, 1, 2, 3, 4],
  linearSwigluBackward: [0, 1, 2, 3],
  rmsNormForward: [0],
  gatedNormForward: [0, 1, 3],
};

/** A shape device that refuses what a GPU would: a native call with tensors of types that do not go together. */
export function openTypedDevice(): Device {
  const device = openShapeDevice();
  const { native } = device;
  const types = new Map<number, TypeName>();
  const add = (id: number, type: TypeName): number => {
    types.set(id + firstTensor, type);
    return id + firstTensor;
  };
  const runtime: Partial<Native> = {
    tensorCreate: (stream, dtype, shape) => add(native.tensorCreate(stream, dtype, shape), typeNames[dtype]!),
    tensorView: (stream, base, offset, shape) =>
      add(native.tensorView(stream, base - firstTensor, offset, shape), types.get(base)!),
    tensorRelease: (tensor) => {
      types.delete(tensor);
      native.tensorRelease(tensor - firstTensor);
    },
  };
  const checked = (name: string) => {
    const original = Reflect.get(native, name) as (...args: unknown[]) => unknown;
    return (...args: unknown[]) => {
      expectAlike(
        name,
        args.map((arg) => types.get(arg as number)).filter((type) => type !== undefined),
      );
      return original(...args);
    };
  };
  const proxy = new Proxy(native, {
    get: (_target, name) => Reflect.get(runtime, name) ?? checked(name as string),
  });
  Object.assign(device, { native: proxy });
  return device;
}

/** @throws LongscanError E-DTYPE */
function expectAlike(name: string, types: readonly TypeName[]): void {
  const isMixed = mixed.some((start) => name.startsWith(start));
  const places = alike[name] ?? (isMixed ? [] : types.map((_, i) => i));
  const given = places.map((i) => types[i]).filter((type) => type !== undefined);
  const floats = new Set(given.filter((type) => type !== 'i32'));
  if (floats.size <= 1) return;
  throw new LongscanError({
    code: 'E-DTYPE',
    where: name,
    found: `tensors of ${types.join(', ')}`,
    expected: 'one type',
  });
}
