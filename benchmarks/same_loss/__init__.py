"""Does training end where a plain loop ends? Every setting of the engine beside transformers and PEFT in fp32."""
