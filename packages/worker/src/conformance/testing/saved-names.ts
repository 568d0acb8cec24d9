/** Names are part of the checkpoint format: a change here makes old checkpoints unreadable. */
export const savedNames: Readonly<Record<string, string>> = {
  gla: 'q k v gate.down gate.up gate.bias g norm o',
  'simple-gla': 'q k v gate.weight gate.bias g norm o',
  lightning: 'q k v g norm o',
  'linear-attention': 'q k v o',
  gsa: 'q k v f norm o',
  hgrn2: 'q f i lowerBound norm o',
};
