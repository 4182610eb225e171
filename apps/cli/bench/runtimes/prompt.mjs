/** A text of about so many tokens, which any tokenizer of the model cuts alike. */
export function promptText(tokens) {
  const goods = ['copper kettles', 'wool blankets', 'clay jars', 'oak barrels', 'glass beads', 'iron nails', 'silk scarves']
  const line = (i) => `Entry ${i + 1}: on day ${((i * 7) % 30) + 1} the ship carried ${((i * 37) % 90) + 10} ${goods[i % goods.length]}.\n`
  // A line takes 22 tokens or so.
  return Array.from({ length: Math.ceil(tokens / 22) }, (_, i) => line(i)).join('')
}
