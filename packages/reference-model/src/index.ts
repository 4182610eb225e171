/** The folder of the model in Hugging Face layout: config.json, tokenizer.json, model.safetensors (float16). */
export const modelUrl: URL = new URL('../model/', import.meta.url)
