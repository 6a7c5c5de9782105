

two so old