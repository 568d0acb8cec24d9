declare module '../../native.js' {
  interface Native {
    /** target = deviation times normal numbers; the key's words are unsigned 32-bit integers */
    fillNormal(stream: number, key0: number, key1: number, deviation: number, target: number): void;
  }
}

export {};
